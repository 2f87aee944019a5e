// Algorithm lists as the config and ssh_config write them: names, or a change to the defaults by + - ^ (ssh_config(5), Ciphers). Pure.
import { uselessList } from '../keys/algorithms.ts';
import { globMatches } from './glob.ts';
import { nearest } from './nearest.ts';
import { joined, ok, wrong, type Fault, type Parsed } from './value.ts';

export type AlgorithmKind = 'kex' | 'cipher' | 'mac' | 'hostKey' | 'pubkey';

const signatures = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  'rsa-sha2-512',
  'rsa-sha2-256',
];
const certificates = [
  'ssh-ed25519-cert-v01@openssh.com',
  'ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'ecdsa-sha2-nistp384-cert-v01@openssh.com',
  'ecdsa-sha2-nistp521-cert-v01@openssh.com',
  'sk-ssh-ed25519-cert-v01@openssh.com',
  'sk-ecdsa-sha2-nistp256-cert-v01@openssh.com',
  'rsa-sha2-512-cert-v01@openssh.com',
  'rsa-sha2-256-cert-v01@openssh.com',
];
const signaturesOff = ['ssh-rsa', 'ssh-rsa-cert-v01@openssh.com', 'ssh-dss', 'ssh-dss-cert-v01@openssh.com'];

/**
 * What + - ^ change: the names OpenSSH offers by default, AES-GCM first, since it is the fastest here (SPEC 6).
 * What this program cannot do of them is left out where the offer is made.
 */
export const defaultAlgorithms: Readonly<Record<AlgorithmKind, readonly string[]>> = {
  kex: [
    'mlkem768x25519-sha256',
    'sntrup761x25519-sha512',
    'sntrup761x25519-sha512@openssh.com',
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group-exchange-sha256',
    'diffie-hellman-group16-sha512',
    'diffie-hellman-group18-sha512',
    'diffie-hellman-group14-sha256',
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
    'umac-64-etm@openssh.com',
    'umac-128-etm@openssh.com',
    'hmac-sha2-256-etm@openssh.com',
    'hmac-sha2-512-etm@openssh.com',
    'hmac-sha1-etm@openssh.com',
    'umac-64@openssh.com',
    'umac-128@openssh.com',
    'hmac-sha2-256',
    'hmac-sha2-512',
    'hmac-sha1',
  ],
  hostKey: [...certificates, ...signatures],
  pubkey: [...certificates, ...signatures],
};

/** Names that exist but are off by default: `+` may switch them on. */
const off: Readonly<Record<AlgorithmKind, readonly string[]>> = {
  kex: [
    'diffie-hellman-group1-sha1',
    'diffie-hellman-group14-sha1',
    'diffie-hellman-group15-sha512',
    'diffie-hellman-group17-sha512',
    'diffie-hellman-group-exchange-sha1',
  ],
  cipher: ['3des-cbc', 'aes128-cbc', 'aes192-cbc', 'aes256-cbc', 'aes128-gcm', 'aes256-gcm'],
  mac: [
    'hmac-sha1-96',
    'hmac-md5',
    'hmac-md5-96',
    'hmac-ripemd160',
    'hmac-sha1-96-etm@openssh.com',
    'hmac-md5-etm@openssh.com',
    'hmac-md5-96-etm@openssh.com',
    'hmac-sha2-256-96',
    'hmac-sha2-512-96',
  ],
  hostKey: [...signaturesOff, 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com'],
  pubkey: [...signaturesOff, 'webauthn-sk-ecdsa-sha2-nistp256@openssh.com'],
};

/** A list in our own config: text with commas or a YAML list, `+ - ^` in front of the first. Unknown names are refused. */
export function algorithmList(kind: AlgorithmKind): (value: unknown) => Parsed<readonly string[]> {
  const known = knownNames(kind);
  return (value) => {
    const items: unknown[] = Array.isArray(value) ? value : [value];
    if (items.includes(undefined)) return ok([]); // an entry was taken out as faulty: the rest says nothing
    if (!items.every((item) => typeof item === 'string') || items.length === 0)
      return wrong('must be a list of algorithm names');
    const written = items.join(',');
    const names = items.flatMap((item, at) => item.split(',').map((name) => ({ at, name: name.trim() })));
    const faults = names.flatMap(({ at, name }, index): readonly Fault[] => {
      const plain = index === 0 ? name.replace(/^[+\-^]/, '') : name;
      if (known.includes(plain) || (written.startsWith('-') && /[*?]/.test(plain))) return [];
      const near = nearest(plain, known);
      const meant = near === null ? '' : `, did you mean "${near}"?`;
      if (Array.isArray(value)) return [{ problem: `is an unknown name${meant}`, at: [at] }];
      return [{ problem: `${names.length > 1 ? `entry ${index + 1} is` : 'is'} an unknown name${meant}` }];
    });
    const fault = joined(faults);
    if (fault !== null) return fault;
    const list = applyAlgorithms(written, defaultAlgorithms[kind]);
    if (list.length === 0) return wrong('leaves nothing to offer');
    const useless = kind === 'pubkey' ? null : uselessList(kind, list);
    return useless === null ? ok(list) : wrong(`leaves ${useless}`);
  };
}

/**
 * A list in ssh_config: why ssh would refuse it, null when it takes it. Names of keys may be patterns there, and what is
 * taken away need not exist.
 */
export function algorithmProblem(kind: AlgorithmKind, written: string): string | null {
  if (written.startsWith('-')) return null;
  const names = written.replace(/^[+^]/, '').split(',');
  const known = knownNames(kind);
  const bad = names.find(
    (each) => !known.some((name) => name === each || (ofKeys(kind) && globMatches(each, name))),
  );
  return bad === undefined ? null : `"${bad}" is no algorithm that is known here`;
}

/** The order in which OpenSSH finds the names for a pattern: `ssh -Q sig`, each with its certificate's. */
const patternOrder: readonly string[] = [
  'ssh-ed25519',
  'sk-ssh-ed25519@openssh.com',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'sk-ecdsa-sha2-nistp256@openssh.com',
  'webauthn-sk-ecdsa-sha2-nistp256@openssh.com',
  'ssh-dss',
  'ssh-rsa',
  'rsa-sha2-256',
  'rsa-sha2-512',
].flatMap((name) => [
  name,
  ...[...certificates, ...signaturesOff].filter((each) => isCertificateOf(each, name)),
]);

function isCertificateOf(certificate: string, name: string): boolean {
  return certificate === `${name.replace('@openssh.com', '')}-cert-v01@openssh.com`;
}

const knownNames = (kind: AlgorithmKind): readonly string[] => [...defaultAlgorithms[kind], ...off[kind]];
const ofKeys = (kind: AlgorithmKind): boolean => kind === 'hostKey' || kind === 'pubkey';

/** What a list of ssh_config comes to: names of keys may be patterns there. */
export function sshAlgorithms(kind: AlgorithmKind, written: string): readonly string[] {
  if (!ofKeys(kind) || written.startsWith('-')) return applyAlgorithms(written, defaultAlgorithms[kind]);
  const mode = /^[+^]/.exec(written)?.[0] ?? '';
  const names = written
    .slice(mode.length)
    .split(',')
    .flatMap((each) => patternOrder.filter((name) => globMatches(each, name)));
  return applyAlgorithms(mode + names.join(','), defaultAlgorithms[kind]);
}

/** What a written list comes to: `+` appends, `-` removes (wildcards allowed), `^` puts first, else it is the list. */
export function applyAlgorithms(written: string, defaults: readonly string[]): readonly string[] {
  const mode = /^[+\-^]/.exec(written)?.[0] ?? '';
  const names = written
    .slice(mode.length)
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '');
  if (mode === '+') return [...new Set([...defaults, ...names])];
  if (mode === '^') return [...new Set([...names, ...defaults])];
  if (mode === '-') return defaults.filter((each) => !names.some((pattern) => globMatches(pattern, each)));
  return [...new Set(names)];
}
