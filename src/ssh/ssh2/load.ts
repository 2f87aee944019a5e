// Loads ssh2, with two things changed in its crypto.js that have no setting: the largest packet it takes, and UMAC.
// OpenSSH sends and takes 256 KiB (PACKET_MAX_SIZE); ssh2 ends the connection at 35,000 bytes, and a long banner is more.
import { readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import { compileFunction } from 'node:vm';
import { addUmac, umacNames, type CryptoPart } from './mac.ts';

/** Bytes of a packet, from either side and in every phase. */
export const largestPacket = 256 * 1024;

const require = createRequire(import.meta.url);
const folder = dirname(require.resolve('ssh2/package.json')) + sep;
const cryptoFile = require.resolve('ssh2/lib/protocol/crypto.js');
const asItComes = 'const MAX_PACKET_SIZE = 35000;';

/** True when the number stood where we know it, and UMAC was added. */
export const cryptoChanged = loadCrypto();

/** ssh2 itself: nobody else in this folder imports its values. */
export const ssh2 = require('ssh2') as typeof import('ssh2');

if (cryptoChanged)
  (ssh2Part('protocol/constants.js') as { SUPPORTED_MAC: string[] }).SUPPORTED_MAC.push(...umacNames);

/** A module of ssh2 by its path in lib/, the same that `ssh2` uses. */
export function ssh2Part(path: string): unknown {
  return require(`ssh2/lib/${path}`);
}

/**
 * Every decipher of crypto.js reads a constant of its module, and everybody who uses them took them out of the module
 * when they were loaded: so it has to be right before the rest of ssh2 is there.
 */
function loadCrypto(): boolean {
  const text = readFileSync(cryptoFile, 'utf8');
  if (text.split(asItComes).length !== 2) return false;
  // what somebody else has loaded in this process (tests do) stays theirs
  for (const file of Object.keys(require.cache))
    if (file.startsWith(folder) && file.endsWith('.js')) delete require.cache[file];
  const module = new Module(cryptoFile);
  module.filename = cryptoFile;
  const names = ['exports', 'require', 'module', '__filename', '__dirname'];
  const run = compileFunction(text.replace(asItComes, `const MAX_PACKET_SIZE = ${largestPacket};`), names, {
    filename: cryptoFile,
  }) as (...values: unknown[]) => void;
  require.cache[cryptoFile] = module;
  run(module.exports, createRequire(cryptoFile), module, cryptoFile, dirname(cryptoFile));
  addUmac(module.exports as CryptoPart);
  module.loaded = true;
  return true;
}
