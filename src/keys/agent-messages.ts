// What an agent says (draft-ietf-sshm-ssh-agent): answers cut out of its bytes, and read. Pure.
import { cleanText } from '../model/clean.ts';
import { publicKeyFromBlob, type PublicKey } from './public-key.ts';
import { wireReader } from './wire.ts';

export interface AgentKey extends PublicKey {
  /** Clean of control characters. */
  readonly comment: string;
}

/** Why an agent did not do what was asked. The message ends a sentence. */
export class AgentError extends Error {
  override readonly name = 'AgentError';
}

export const message = {
  failure: 5,
  list: 11,
  keys: 12,
  sign: 13,
  signature: 14,
  extension: 27,
  success: 6,
} as const;

/** As in OpenSSH (AGENT_MAX_LEN): no sane answer is longer. */
const longestAnswer = 256 * 1024;

/** Takes bytes as they come, each looked at once; answers false, and nothing more, at the first length that cannot be. */
export function createAnswerReader(take: (answer: Buffer) => void): (chunk: Buffer) => boolean {
  let pieces: Buffer[] = [];
  let length = 0;
  let wanted = 4;
  let broken = false;
  return (chunk) => {
    if (broken) return false;
    pieces.push(chunk);
    length += chunk.length;
    while (length >= wanted) {
      const bytes = pieces.length === 1 ? (pieces[0] ?? chunk) : Buffer.concat(pieces);
      pieces = [bytes];
      const size = bytes.readUInt32BE(0);
      broken = size === 0 || size > longestAnswer;
      if (broken) return false;
      wanted = 4 + size;
      if (length < wanted) break;
      take(bytes.subarray(4, wanted));
      pieces = [bytes.subarray(wanted)];
      length -= wanted;
      wanted = 4;
    }
    return true;
  };
}

/** Throws AgentError. */
export function readKeys(answer: Buffer): readonly AgentKey[] {
  if (answer[0] !== message.keys) throw new AgentError('it refused to list its keys');
  return understood(() => {
    const reader = wireReader(answer.subarray(1));
    const keys: AgentKey[] = [];
    for (let left = reader.uint32(); left > 0; left -= 1) {
      const blob = Buffer.from(reader.string());
      keys.push({ ...publicKeyFromBlob(blob), comment: cleanText(reader.text()) });
    }
    return keys;
  });
}

/** The signature blob. Throws AgentError. */
export function readSignature(answer: Buffer): Buffer {
  if (answer[0] !== message.signature) throw new AgentError('it refused');
  return understood(() => Buffer.from(wireReader(answer.subarray(1)).string()));
}

function understood<T>(read: () => T): T {
  try {
    return read();
  } catch {
    throw new AgentError('it does not speak the agent protocol');
  }
}
