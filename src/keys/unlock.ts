// Unlocking: opens an encrypted key file with its passphrase. Runs in the key thread, since every derivation is slow.
import type { KeyObject } from 'node:crypto';
import bcrypt from 'bcrypt-pbkdf';
import { keyCipher } from './ciphers.ts';
import { openPem, outlineKey } from './key-file.ts';
import { parseOpensshEnvelope, parseOpensshSecret, type OpensshEnvelope } from './openssh-file.ts';
import { KeyError } from './private-key.ts';
import { openPutty, parsePutty } from './putty-file.ts';

/** Throws KeyError: passphrase-wrong, damaged or unsupported. */
export function unlockKey(text: string, passphrase: string): KeyObject {
  const outline = outlineKey(text);
  if (outline.key !== null) return outline.key;
  const envelope = parseOpensshEnvelope(text);
  if (envelope !== null) return unlockOpenssh(envelope, passphrase);
  const putty = parsePutty(text);
  if (putty !== null) return openPutty(putty, passphrase);
  return openPem(text, passphrase);
}

function unlockOpenssh(envelope: OpensshEnvelope, passphrase: string): KeyObject {
  const cipher = keyCipher(envelope.cipher);
  if (envelope.kdf !== 'bcrypt')
    throw new KeyError('unsupported', `its derivation ${envelope.kdf} is not known`);
  // bcrypt_pbkdf takes no empty passphrase, and ssh-keygen writes no such file
  if (passphrase === '') throw new KeyError('passphrase-wrong', 'the passphrase is wrong');
  if (envelope.tag.length !== cipher.tagLength || envelope.locked.length % cipher.blockSize !== 0)
    throw new KeyError('damaged', 'it is cut short or damaged');
  if (envelope.rounds < 1 || envelope.rounds > 1_000_000)
    throw new KeyError('damaged', 'its number of rounds is absurd');
  const secret = Buffer.from(passphrase, 'utf8');
  const derived = Buffer.alloc(cipher.keyLength + cipher.ivLength);
  const failed = bcrypt.pbkdf(
    secret,
    secret.length,
    envelope.salt,
    envelope.salt.length,
    derived,
    derived.length,
    envelope.rounds,
  );
  if (failed !== 0) throw new KeyError('damaged', 'its salt is damaged');
  const bytes = cipher.decrypt(
    derived.subarray(0, cipher.keyLength),
    derived.subarray(cipher.keyLength),
    envelope.locked,
    envelope.tag,
  );
  return parseOpensshSecret(bytes, true);
}
