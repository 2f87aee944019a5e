// A server's first words: its identification, the lines before it, and the first packet before there are keys.
import assert from 'node:assert/strict';
import { isVisible } from '../../src/model/clean.ts';
import { createHelloReader, disagreement } from '../../src/ssh/ssh2/hello.ts';
import { corpusOf, inherited, sameInPieces, type Target } from '../target.ts';

const ours = {
  kex: ['curve25519-sha256'],
  hostKey: ['ssh-ed25519'],
  cipher: ['aes128-ctr'],
  mac: ['hmac-sha2-256'],
};

export const sshHelloTarget: Target = {
  name: 'ssh-hello',
  corpus: corpusOf('fuzz/ssh-hello'),
  words: [
    ...inherited,
    'SSH-2.0-x\r\n',
    'SSH-',
    '\r\n',
    '\n',
    '\0\0\0\x0c\x0a\x14',
    ',',
    'curve25519-sha256',
    '\u001b[31m',
  ],
  check(bytes) {
    let outcome = '';
    sameInPieces(bytes, (pieces) => {
      const reader = createHelloReader();
      for (const piece of pieces) reader.feed(piece);
      const { ident, line, offers } = reader.hello;
      assert.equal(reader.received, bytes.length);
      assert(ident === null || ident.startsWith('SSH-'));
      const words = offers === null ? 'no offers' : (disagreement(ours, offers)?.words ?? 'agreed');
      assert(isVisible(words));
      outcome = `${ident === null} ${line === null} ${words.slice(0, 30)}`;
      return [ident, line, offers];
    });
    return outcome;
  },
};
