// An agent's answers: the same in any pieces; a list of keys and a signature, or an AgentError.
import { AgentError, createAnswerReader, readKeys, readSignature } from '../../src/keys/agent-messages.ts';
import { corpusOf, inherited, sameInPieces, typed, type Target } from '../target.ts';

const agentFailure = (thrown: unknown): string | null =>
  thrown instanceof AgentError ? thrown.message : null;

export const agentTarget: Target = {
  name: 'agent',
  corpus: corpusOf('fuzz/agent'),
  words: [...inherited, '\0\0\0\x01\x05', '\0\0\0\x05\x0c\0\0\0\0', '\x0e', 'ssh-ed25519', '\u001b[31m'],
  check(bytes) {
    let outcome = '';
    sameInPieces(bytes, (pieces) => {
      const answers: string[] = [];
      const read = createAnswerReader((answer) => {
        const keys = typed(() => readKeys(answer), agentFailure);
        const signature = typed(() => readSignature(answer), agentFailure);
        const listed = typeof keys === 'string' ? keys : keys.map(({ type }) => type).join();
        answers.push(`${listed} ${typeof signature === 'string' ? signature : 'signed'}`);
      });
      const ok = pieces.map((piece) => read(piece)).every(Boolean);
      outcome = `${answers.join('; ')} ${ok}`;
      return outcome;
    });
    return outcome;
  },
};
