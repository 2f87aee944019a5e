// Algorithms: what we offer a server, in order. Pure but for what this build of ssh2 supports.
import { TunnelError } from '../errors.ts';
import type { Host } from '../model/host.ts';
import { hybridKex } from './ssh2/hybrid-secret.ts';
import { umacNames } from './ssh2/mac.ts';
import { supportedAlgorithms, type AlgorithmNames } from './ssh2/internals.ts';

/**
 * Our defaults: the post-quantum key exchange first; AES-GCM first (the fastest with AES instructions, SSH2.md 1.3); no
 * SHA-1 key exchange or CBC, and SHA-1 only where a server of the last ten years may have nothing else (hmac-sha1).
 */
export const defaultAlgorithms: AlgorithmNames = {
  kex: [
    hybridKex,
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group18-sha512',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group-exchange-sha256',
  ],
  hostKey: [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
  ],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
  ],
  mac: [
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    'hmac-sha1-etm@openssh.com',
    'hmac-sha2-256',
    'hmac-sha2-512',
    'hmac-sha1',
    ...umacNames,
  ],
};

/** Where each list is written. */
export const algorithmKeys = {
  kex: 'kex',
  hostKey: 'host_key_algorithms',
  cipher: 'ciphers',
  mac: 'macs',
} as const;

/** What to offer a host. Throws CONFIG_INVALID when nothing that is configured can be had. */
export function offeredAlgorithms(host: Host, supported = supportedAlgorithms()): AlgorithmNames {
  const pick = (kind: keyof AlgorithmNames): readonly string[] => {
    const wanted = host.algorithms[kind] ?? defaultAlgorithms[kind];
    const usable = wanted.filter((name) => supported[kind].includes(name));
    if (usable.length > 0) return usable;
    throw new TunnelError(
      'CONFIG_INVALID',
      `${algorithmKeys[kind]} of host ${host.name} cannot be used: none of ${wanted.join(', ') || 'them'} is supported`,
      { hint: `supported: ${supported[kind].join(' ')}` },
    );
  };
  return { kex: pick('kex'), hostKey: pick('hostKey'), cipher: pick('cipher'), mac: pick('mac') };
}
