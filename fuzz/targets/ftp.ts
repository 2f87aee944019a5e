// FTP's control connection: lines in any pieces, commands and replies, and the passive reply that is written is read back.
import assert from 'node:assert/strict';
import { LineReader, passiveReply, readCommand, ReplyReader } from '../../src/forward/ftp-lines.ts';
import { corpusOf, inherited, sameInPieces, type Target } from '../target.ts';

export const ftpTarget: Target = {
  name: 'ftp',
  corpus: corpusOf('fuzz/ftp'),
  words: [
    ...inherited.map((name) => `${name}\r\n`),
    '227 Entering (1,2,3,4,5,6).\r\n',
    '229 (|||65535|)\r\n',
    '220-',
    '220 ',
    '\xff\xf4',
    '\n',
    'PASV\r\n',
    'x'.repeat(2048),
  ],
  check(bytes) {
    let outcome: string[] = [];
    sameInPieces(bytes, (pieces) => {
      const lines = new LineReader();
      const replies = new ReplyReader();
      outcome = [];
      const said: string[] = [];
      for (const line of pieces.flatMap((piece) => lines.push(piece))) {
        if (line === null) outcome.push('too long');
        else {
          const command = readCommand(line);
          const reply = replies.read(line);
          said.push(line.toString('hex'), command.verb);
          outcome.push(`${command.kind} ${reply.kind}`);
          if (reply.kind === 'final' && reply.passivePort !== null) checkPort(reply.code, reply.passivePort);
        }
        assert(lines.pending < 8 * 1024);
      }
      return [outcome, said, lines.rest().toString('hex')];
    });
    return outcome.slice(0, 4).join();
  },
};

function checkPort(code: number, port: number): void {
  assert(port >= 1 && port <= 65_535);
  const written = passiveReply(code, '127.0.0.1', port);
  assert(written !== null);
  assert.deepEqual(new ReplyReader().read(written), { kind: 'final', code, passivePort: port });
}
