// Loads ssh2, and makes every change to it that is in force for the whole process: none of them has a setting. In order:
//   1 crypto.js: a packet may have 256 KiB, as OpenSSH sends and takes them (PACKET_MAX_SIZE). ssh2 ends the connection at
//     35,000 bytes, and a long banner is more.
//   2 crypto.js, SUPPORTED_MAC: UMAC (mac.ts).
//   3 SUPPORTED_KEX: the post-quantum key exchange (kex.ts).
//   4 SUPPORTED_SERVER_HOST_KEY: host certificates (kex.ts).
//   5 zlib.js: a packet has no more bytes unpacked than it may have plain.
//   6 handlers.js: of a server's host keys one list is read, of a bearable length (wire.ts).
import { readFileSync } from 'node:fs';
import Module, { createRequire } from 'node:module';
import { dirname, sep } from 'node:path';
import { compileFunction } from 'node:vm';
import { addUmac, umacNames, type CryptoPart } from './mac.ts';

/** ML-KEM-768 with X25519 (draft-ietf-sshm-mlkem-hybrid-kex). */
export const hybridKex = 'mlkem768x25519-sha256';

/** Host certificates, offered where a CA is known for the host, best first. */
export const certificateTypes: readonly string[] = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
];

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

if (cryptoChanged) addTo('SUPPORTED_MAC', umacNames);
addTo('SUPPORTED_KEX', [hybridKex]);
addTo('SUPPORTED_SERVER_HOST_KEY', certificateTypes);
boundUnpacking();

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

/** Lets `client.connect({ algorithms })` take the names. */
function addTo(list: string, names: readonly string[]): void {
  const known = (ssh2Part('protocol/constants.js') as Record<string, string[]>)[list] as string[];
  known.push(...names.filter((name) => !known.includes(name)));
}

interface Inflater {
  _zlib: { _maxOutputLength: number; writeSync(chunk: Buffer, inPieces: boolean): Buffer };
}

/** 256 KiB can hold 256 MiB of zeros. */
function boundUnpacking(): void {
  const { ZlibPacketReader } = ssh2Part('protocol/zlib.js') as {
    ZlibPacketReader: { prototype: { read(this: Inflater, packet: Buffer): Buffer } };
  };
  ZlibPacketReader.prototype.read = function read(packet) {
    this._zlib._maxOutputLength = largestPacket;
    return this._zlib.writeSync(packet, false);
  };
}
