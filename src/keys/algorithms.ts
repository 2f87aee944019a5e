// Algorithms of SSH by name: the one table of what there is, what OpenSSH does by default, what can be used here, and what is
// offered to a server. A test holds it to what ssh2 and our own code really can. Pure.

/** Kinds that are negotiated for a connection. */
export type WireKind = 'kex' | 'hostKey' | 'cipher' | 'mac';
/** Kinds that are configured: `pubkey` are the signatures of a login, by the same names as host keys. */
export type AlgorithmKind = WireKind | 'pubkey';

interface Algorithm {
  readonly name: string;
  /** `offered` to a server by default; `usable` where the config names it; `none`: OpenSSH knows it, and nothing here does. */
  readonly here: 'offered' | 'usable' | 'none';
  /** Its place among OpenSSH's defaults, AES-GCM first, since that is the fastest here (SPEC 6); null: off there. */
  readonly openssh: number | null;
}

type Row = readonly [name: string, here: Algorithm['here'], openssh: number | null];

/**
 * In the order in which they are offered: the post-quantum key exchange first; AES-GCM first (the fastest with AES
 * instructions, SSH2.md 1.3); no SHA-1 key exchange or CBC, and SHA-1 only where a server of the last ten years may have
 * nothing else (hmac-sha1).
 */
const rows: Readonly<Record<'kex' | 'cipher' | 'mac', readonly Row[]>> = {
  kex: [
    ['mlkem768x25519-sha256', 'offered', 1],
    ['curve25519-sha256', 'offered', 4],
    ['curve25519-sha256@libssh.org', 'offered', 5],
    ['ecdh-sha2-nistp256', 'offered', 6],
    ['ecdh-sha2-nistp384', 'offered', 7],
    ['ecdh-sha2-nistp521', 'offered', 8],
    ['diffie-hellman-group16-sha512', 'offered', 10],
    ['diffie-hellman-group18-sha512', 'offered', 11],
    ['diffie-hellman-group14-sha256', 'offered', 12],
    ['diffie-hellman-group-exchange-sha256', 'offered', 9],
    ['sntrup761x25519-sha512', 'none', 2],
    ['sntrup761x25519-sha512@openssh.com', 'none', 3],
    ['diffie-hellman-group1-sha1', 'usable', null],
    ['diffie-hellman-group14-sha1', 'usable', null],
    ['diffie-hellman-group15-sha512', 'usable', null],
    ['diffie-hellman-group17-sha512', 'usable', null],
    ['diffie-hellman-group-exchange-sha1', 'usable', null],
  ],
  cipher: [
    ['aes128-gcm@openssh.com', 'offered', 1],
    ['aes256-gcm@openssh.com', 'offered', 2],
    ['chacha20-poly1305@openssh.com', 'offered', 3],
    ['aes128-ctr', 'offered', 4],
    ['aes192-ctr', 'offered', 5],
    ['aes256-ctr', 'offered', 6],
    ['3des-cbc', 'usable', null],
    ['aes128-cbc', 'usable', null],
    ['aes192-cbc', 'usable', null],
    ['aes256-cbc', 'usable', null],
    ['aes128-gcm', 'usable', null],
    ['aes256-gcm', 'usable', null],
  ],
  mac: [
    ['hmac-sha2-256-etm@openssh.com', 'offered', 3],
    ['hmac-sha2-512-etm@openssh.com', 'offered', 4],
    ['hmac-sha1-etm@openssh.com', 'offered', 5],
    ['hmac-sha2-256', 'offered', 8],
    ['hmac-sha2-512', 'offered', 9],
    ['hmac-sha1', 'offered', 10],
    ['umac-128-etm@openssh.com', 'offered', 2],
    ['umac-64-etm@openssh.com', 'offered', 1],
    ['umac-128@openssh.com', 'offered', 7],
    ['umac-64@openssh.com', 'offered', 6],
    ['hmac-sha1-96', 'usable', null],
    ['hmac-md5', 'usable', null],
    ['hmac-md5-96', 'usable', null],
    ['hmac-ripemd160', 'usable', null],
    ['hmac-sha1-96-etm@openssh.com', 'none', null],
    ['hmac-md5-etm@openssh.com', 'none', null],
    ['hmac-md5-96-etm@openssh.com', 'none', null],
    ['hmac-sha2-256-96', 'usable', null],
    ['hmac-sha2-512-96', 'usable', null],
  ],
};

/** A signature algorithm, and the key type it is made with. */
export interface KeyAlgorithm {
  readonly name: string;
  /** The type inside a public key blob: RSA keys sign by several names (RFC 8332). */
  readonly keyType: string;
  /** Hash of what is signed; null: the algorithm brings its own. Absent: no signature of it is made or believed here. */
  readonly digest?: string | null;
  /** Public fields in a certificate, all of them SSH strings; absent: no certificate of it is read. */
  readonly fields?: number;
  /** Its place in `ssh -Q sig`: the order in which OpenSSH finds names for a pattern. */
  readonly listed: number;
  /** A host key of it can be verified. */
  readonly hostKey: boolean;
  /** OpenSSH has it off by default, and so do we. */
  readonly off?: true;
  /** There is no certificate type of it. */
  readonly uncertified?: true;
}

/** In the order in which host keys are asked for. A new key type begins with a line here. */
const keyAlgorithms: readonly KeyAlgorithm[] = [
  { name: 'ssh-ed25519', keyType: 'ssh-ed25519', listed: 1, digest: null, fields: 1, hostKey: true },
  ecdsa('256', 'sha256', 3),
  ecdsa('384', 'sha384', 4),
  ecdsa('521', 'sha512', 5),
  { ...sameType('sk-ssh-ed25519@openssh.com'), listed: 2, digest: null, fields: 2, hostKey: false },
  {
    ...sameType('sk-ecdsa-sha2-nistp256@openssh.com'),
    listed: 6,
    digest: 'sha256',
    fields: 3,
    hostKey: false,
  },
  { name: 'rsa-sha2-512', keyType: 'ssh-rsa', listed: 11, digest: 'sha512', hostKey: true },
  { name: 'rsa-sha2-256', keyType: 'ssh-rsa', listed: 10, digest: 'sha256', hostKey: true },
  { ...sameType('ssh-rsa'), listed: 9, digest: 'sha1', fields: 2, hostKey: true, off: true },
  { ...sameType('ssh-dss'), listed: 8, hostKey: true, off: true },
  {
    ...sameType('webauthn-sk-ecdsa-sha2-nistp256@openssh.com'),
    listed: 7,
    hostKey: false,
    off: true,
    uncertified: true,
  },
];

function sameType(name: string): { readonly name: string; readonly keyType: string } {
  return { name, keyType: name };
}

function ecdsa(curve: string, digest: string, listed: number): KeyAlgorithm {
  return { ...sameType(`ecdsa-sha2-nistp${curve}`), digest, listed, fields: 2, hostKey: true };
}

/** Types of host keys whose possession a server can prove to us. */
export const provableKeyTypes: readonly string[] = keyAlgorithms.flatMap(({ keyType, hostKey, digest }) =>
  hostKey && digest !== undefined ? [keyType] : [],
);

const certificateSuffix = '-cert-v01@openssh.com';

/** "rsa-sha2-512-cert-v01@openssh.com" for "rsa-sha2-512". */
export function certificateName(plain: string): string {
  return `${plain.replace(/@openssh\.com$/, '')}${certificateSuffix}`;
}

export function isCertificateType(type: string): boolean {
  return type.endsWith(certificateSuffix) || type.endsWith('-cert-v00@openssh.com');
}

/** The type of the key inside: "ssh-ed25519" for "ssh-ed25519-cert-v01@openssh.com"; a plain type is itself. */
export function plainKeyType(type: string): string {
  if (!type.endsWith(certificateSuffix)) return type;
  const stem = type.slice(0, -certificateSuffix.length);
  return stem.startsWith('sk-') ? `${stem}@openssh.com` : stem;
}

/** Null: no such algorithm. `name` is a plain one, never a certificate's. */
export function keyAlgorithm(name: string): KeyAlgorithm | null {
  return keyAlgorithms.find((each) => each.name === name) ?? null;
}

/** The key type behind a name of a signature, a certificate's too: "ssh-rsa" for "rsa-sha2-512". */
export function keyTypeOf(algorithm: string): string {
  const plain = plainKeyType(algorithm);
  return keyAlgorithm(plain)?.keyType ?? plain;
}

function keyRows(): readonly Algorithm[] {
  const on = keyAlgorithms.filter(({ off }) => off !== true);
  const off = keyAlgorithms.filter((each) => each.off === true);
  const here = (each: KeyAlgorithm, usable: 'offered' | 'usable'): Algorithm['here'] =>
    each.hostKey ? usable : 'none';
  return [
    ...on.map((each, index) => ({
      name: each.name,
      here: here(each, 'offered'),
      openssh: on.length + index,
    })),
    ...on.map((each, index) => ({
      name: certificateName(each.name),
      here: here(each, 'usable'),
      openssh: index,
    })),
    ...off.flatMap((each): readonly Algorithm[] => [
      { name: each.name, here: here(each, 'usable'), openssh: null },
      ...(each.uncertified === true
        ? []
        : [{ name: certificateName(each.name), here: 'none' as const, openssh: null }]),
    ]),
  ];
}

const read = (kind: 'kex' | 'cipher' | 'mac'): readonly Algorithm[] =>
  rows[kind].map(([name, here, openssh]) => ({ name, here, openssh }));
const keys = keyRows();
const table: Readonly<Record<AlgorithmKind, readonly Algorithm[]>> = {
  kex: read('kex'),
  cipher: read('cipher'),
  mac: read('mac'),
  hostKey: keys,
  pubkey: keys,
};

function namesOf(kind: AlgorithmKind, which: (algorithm: Algorithm) => boolean): readonly string[] {
  return table[kind].filter(which).map(({ name }) => name);
}

function byWireKind(which: (algorithm: Algorithm) => boolean): Readonly<Record<WireKind, readonly string[]>> {
  return {
    kex: namesOf('kex', which),
    hostKey: namesOf('hostKey', which),
    cipher: namesOf('cipher', which),
    mac: namesOf('mac', which),
  };
}

/** The algorithms offered to a server where nothing is configured, in order. */
export const offeredByDefault = byWireKind(({ here }) => here === 'offered');

/** The algorithms that a connection of ours can use, those offered by default first. */
export const usableAlgorithms = byWireKind(({ here }) => here !== 'none');

/** The lists that + - ^ change: the names OpenSSH offers by default. Names that cannot be had here are left out where the offer is made. */
export const opensshDefaults: Readonly<Record<AlgorithmKind, readonly string[]>> = {
  kex: defaultsOf('kex'),
  cipher: defaultsOf('cipher'),
  mac: defaultsOf('mac'),
  hostKey: defaultsOf('hostKey'),
  pubkey: defaultsOf('pubkey'),
};

function defaultsOf(kind: AlgorithmKind): readonly string[] {
  return table[kind]
    .filter(({ openssh }) => openssh !== null)
    .toSorted((one, other) => (one.openssh ?? 0) - (other.openssh ?? 0))
    .map(({ name }) => name);
}

/** Every name that exists: the defaults, then those that `+` may switch on. */
export function knownAlgorithms(kind: AlgorithmKind): readonly string[] {
  return [...opensshDefaults[kind], ...namesOf(kind, ({ openssh }) => openssh === null)];
}

/** Key algorithms in the order of `ssh -Q sig`, each with its certificate's. */
export const keyPatternOrder: readonly string[] = keyAlgorithms
  .toSorted((one, other) => one.listed - other.listed)
  .flatMap(({ name, uncertified }) => (uncertified === true ? [name] : [name, certificateName(name)]));

/** Null when one of the names can be had; else what to say of the list. */
export function uselessList(kind: WireKind, names: readonly string[]): string | null {
  const usable = usableAlgorithms[kind];
  if (names.some((name) => usable.includes(name))) return null;
  return `nothing that can be used here, such as ${usable.slice(0, 6).join(', ')}`;
}

/** Never signed with unless the config names them. */
const withSha1 = ['ssh-rsa', 'ssh-dss'];

export interface SignatureChoice {
  /** In the request: a certificate's own type, or the signature's for a plain key. */
  readonly requested: string;
  /** In the signature. */
  readonly signature: string;
}

/**
 * Algorithms to sign with for a key on a server, in order; empty when none is allowed on both sides. SHA-1 never, unless the
 * config names ssh-rsa. `configured`: pubkey_algorithms, null for our defaults. `offered`: the server's server-sig-algs
 * (RFC 8308), null when it sent none: such a server may well know SHA-2.
 */
export function signatureChoices(
  keyType: string,
  configured: readonly string[] | null,
  offered: readonly string[] | null,
): readonly SignatureChoice[] {
  const certificate = isCertificateType(keyType);
  const signatures =
    plainKeyType(keyType) === 'ssh-rsa' ? rsaSignatures(configured, offered) : [plainKeyType(keyType)];
  return signatures
    .map((signature) => ({ requested: certificate ? certificateName(signature) : signature, signature }))
    .filter(({ requested }) =>
      configured === null ? !withSha1.includes(plainKeyType(requested)) : configured.includes(requested),
    );
}

function rsaSignatures(
  configured: readonly string[] | null,
  offered: readonly string[] | null,
): readonly string[] {
  const allowed = (name: string): boolean =>
    configured === null || configured.includes(name) || configured.includes(certificateName(name));
  const isOffered = (name: string): boolean => offered === null || offered.includes(name);
  const modern = ['rsa-sha2-512', 'rsa-sha2-256'].find((name) => allowed(name) && isOffered(name)); // RFC 8332
  const old = configured !== null && allowed('ssh-rsa') && isOffered('ssh-rsa') ? ['ssh-rsa'] : [];
  return modern === undefined ? old : [modern, ...old];
}
