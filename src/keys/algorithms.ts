// Algorithms that a connection of ours can use, by kind: one table for the config, which judges what is written, and for the
// offer to a server. A test holds it to what ssh2 and our own code really can. Pure.

export type WireKind = 'kex' | 'hostKey' | 'cipher' | 'mac';

export const usableAlgorithms: Readonly<Record<WireKind, readonly string[]>> = {
  kex: [
    'mlkem768x25519-sha256',
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group15-sha512',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group17-sha512',
    'diffie-hellman-group18-sha512',
    'diffie-hellman-group-exchange-sha256',
    'diffie-hellman-group-exchange-sha1',
    'diffie-hellman-group14-sha1',
    'diffie-hellman-group1-sha1',
  ],
  hostKey: [
    'ssh-ed25519',
    'ecdsa-sha2-nistp256',
    'ecdsa-sha2-nistp384',
    'ecdsa-sha2-nistp521',
    'rsa-sha2-512',
    'rsa-sha2-256',
    'ssh-ed25519-cert-v01@openssh.com',
    'ecdsa-sha2-nistp256-cert-v01@openssh.com',
    'ecdsa-sha2-nistp384-cert-v01@openssh.com',
    'ecdsa-sha2-nistp521-cert-v01@openssh.com',
    'rsa-sha2-512-cert-v01@openssh.com',
    'rsa-sha2-256-cert-v01@openssh.com',
    'ssh-rsa',
    'ssh-dss',
  ],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
    'aes128-gcm',
    'aes256-gcm',
    'aes128-cbc',
    'aes192-cbc',
    'aes256-cbc',
    '3des-cbc',
  ],
  mac: [
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    'hmac-sha1-etm@openssh.com',
    'hmac-sha2-256',
    'hmac-sha2-512',
    'hmac-sha1',
    'umac-128-etm@openssh.com',
    'umac-64-etm@openssh.com',
    'umac-128@openssh.com',
    'umac-64@openssh.com',
    'hmac-sha2-256-96',
    'hmac-sha2-512-96',
    'hmac-sha1-96',
    'hmac-md5',
    'hmac-md5-96',
    'hmac-ripemd160',
  ],
};

/** Null when one of the names can be had; else what to say of the list. */
export function uselessList(kind: WireKind, names: readonly string[]): string | null {
  const usable = usableAlgorithms[kind];
  if (names.some((name) => usable.includes(name))) return null;
  return `nothing that can be used here, such as ${usable.slice(0, 6).join(', ')}`;
}
