// Host keys: the question of one dial, and the pinned answer ever after. Nothing secret is sent before it is answered.
import { timingSafeEqual } from 'node:crypto';
import type { Client } from 'ssh2';
import { TunnelError, type ErrorFacts, type HintCommand } from '../errors.ts';
import { parseCertificate } from '../keys/certificate.ts';
import { isCertificateType } from '../keys/algorithms.ts';
import { cleanText } from '../model/clean.ts';
import { formatHop, formatLogin, hopWord, type Host } from '../model/host.ts';
import type { DialContext } from '../model/session.ts';
import { fingerprint, randomart, readFingerprint } from '../keys/fingerprint.ts';
import { hostKeyName, type Place } from '../trust/known-hosts.ts';
import type { KnownHosts, TrustStore } from '../trust/store.ts';
import type { Judgement, Verdict } from '../trust/verdict.ts';
import { keyType, shortTypeName } from '../keys/public-key.ts';
import { hostCertificates, type HostCertificates } from './ssh2/kex.ts';

/** What was decided about the key a server presents. */
export type Decision =
  | { readonly accepted: true; readonly store: boolean; readonly judgement: Judgement; readonly how: string }
  | { readonly accepted: false; readonly error: TunnelError };

export type Accepted = Decision & { readonly accepted: true };

export interface HostKeyParts {
  readonly host: Host;
  readonly known: KnownHosts;
  readonly trust: TrustStore;
  readonly context: DialContext;
  /** A key that a person confirmed for this host a moment ago. */
  readonly confirmed: Buffer | null;
  readonly log: (level: 'debug' | 'info' | 'warn', event: string, message: string) => void;
}

/** The key of one connection: decided once, then pinned. */
export class HostKeyCheck {
  /** The name the key stands under: the alias, or `[host]:port`. */
  readonly name: string;
  readonly #parts: HostKeyParts;
  #certificates: HostCertificates | null = null;
  #presented: Buffer | null = null;
  #accepted: Accepted | null = null;

  constructor(parts: HostKeyParts) {
    this.#parts = parts;
    this.name = hostKeyName(parts.host.hostname, parts.host.port, parts.host.hostKeyAlias);
  }

  /** Right after `client.connect()`. */
  install(client: Client): void {
    this.#certificates = hostCertificates(client);
  }

  /** Before ssh2 sees a chunk from the server. */
  expect(): void {
    this.#certificates?.expect();
  }

  /** What was presented and accepted, bytes and all. */
  get presented(): Buffer | null {
    return this.#presented;
  }

  get accepted(): Accepted | null {
    return this.#accepted;
  }

  /**
   * What is to be done about a key that the server presents: decided at once where no person is needed, else one is
   * asked. True or false once a key is pinned: on every later key exchange the answer is there at once, or the stream
   * breaks (SSH2.md 2.5).
   */
  judge(presented: Buffer): boolean | Decision | Promise<Decision> {
    const certificate = isCertificateType(keyType(presented)) ? parseCertificate(presented) : null;
    if (certificate !== null) this.#certificates?.unwrap(certificate.key.blob);
    if (this.#presented !== null) return sameKey(this.#presented, presented);
    return decide(this.#parts, this.#parts.known.judge(this.name, presented));
  }

  pin(presented: Buffer, accepted: Accepted): void {
    this.#presented = presented;
    this.#accepted = accepted;
  }

  /** The server has proved the key: writes it down. Throws when the store has come to say otherwise. */
  async proved({ judgement, store, how }: Accepted): Promise<void> {
    if (store) await storeKey(this.#parts, this.name, judgement.key, how);
    // a second column of `hosts list`; a login does not wait for it. The line that vouched: of a certificate its CA's.
    const { verdict, key } = judgement;
    const line = verdict.kind === 'trusted' ? verdict.entry.fingerprint : fingerprint(key);
    void this.#parts.trust.markUsed(this.name, line);
  }
}

const byAcceptNew = 'new, accepted by accept-new';

async function storeKey(
  { host, trust, context, log }: HostKeyParts,
  name: string,
  key: Buffer,
  how: string,
): Promise<void> {
  const { at, unwritten } = await trust.trust(name, key);
  const where = unwritten === null ? placeWords(at) : 'until this supervisor ends';
  // A person who was asked has seen the key.
  if (how === byAcceptNew) {
    const shown = `${shortTypeName(keyType(key)).toLowerCase()} key, ${fingerprint(key)}`;
    context.notice?.(`${formatHop(host)} was new here: its ${shown}, is trusted from now on (${where})`);
  }
  log('info', 'host-key', `${name} is trusted from now on: ${keyType(key)} ${fingerprint(key)}, ${where}`);
}

function decide(parts: HostKeyParts, judgement: Judgement): Decision | Promise<Decision> {
  const { host, context, trust } = parts;
  const error = refusalOf(host, trust, judgement);
  if (error !== null) return { accepted: false, error };
  const { verdict } = judgement;
  const accept = (how: string): Decision => ({ accepted: true, store: true, judgement, how });
  if (verdict.kind === 'trusted')
    return { accepted: true, store: false, judgement, how: `known, ${placeWords(verdict.at)}` };
  if (host.hostKeys === 'strict') return { accepted: false, error: unknown(host, judgement, 'strict') };
  if (parts.confirmed?.equals(judgement.key) === true) return accept('new, accepted by you');
  if (context.acceptNew || host.hostKeys === 'accept-new') return accept(byAcceptNew);
  if (!context.personPresent()) return { accepted: false, error: unknown(host, judgement, 'nobody') };
  return ask(parts, judgement);
}

/** Why a login refuses a key, whoever is there. Null for one that is known, or that somebody might confirm. */
export function refusalOf(host: Host, trust: TrustStore, judgement: Judgement): TunnelError | null {
  const { verdict } = judgement;
  if (judgement.certificateProblem !== null && !mayBePlain(host, judgement.key))
    return onlyCertificates(host, judgement);
  switch (verdict.kind) {
    case 'trusted':
    case 'unknown':
      return null;
    case 'changed':
      return changed(host, judgement, verdict.known);
    case 'revoked':
      return revoked(host, trust, judgement, verdict);
    case 'unusable':
      return unusable(host, verdict.reason);
  }
}

/** Where host_key_algorithms lists certificates alone, a plain key is no way in: as with HostKeyAlgorithms of OpenSSH 10. */
function mayBePlain(host: Host, key: Buffer): boolean {
  const type = keyType(key);
  const listed = host.algorithms.hostKey;
  return listed === null || listed.some((each) => each.replace(/^rsa-sha2-\d+$/, 'ssh-rsa') === type);
}

function onlyCertificates(host: Host, judgement: Judgement): TunnelError {
  const type = shortTypeName(keyType(judgement.key));
  const why = cleanText(judgement.certificateProblem ?? '');
  return new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host key refused, on ${formatHop(host)}: its certificate does not count (${why}), and host_key_algorithms takes no plain ${type} key`,
    { hint: { command: 'why', on: { host: host.name } }, facts: factsOf(host, judgement) },
  );
}

async function ask({ host, context }: HostKeyParts, judgement: Judgement): Promise<Decision> {
  const shown = fingerprint(judgement.key);
  const type = keyType(judgement.key);
  const refusal = (why: UnknownReason): Decision => ({
    accepted: false,
    error: unknown(host, judgement, why),
  });
  let answer: string | null;
  try {
    const secret = await context.ask({
      kind: 'host-key',
      host: host.name,
      text: `${formatHop(host)} is new here. Its ${shortTypeName(type).toLowerCase()} key:`,
      echo: true,
      fingerprint: shown,
      endpoint: formatLogin(host),
      keyType: type,
      randomart: randomart(judgement.key),
      fromServer: false,
      tries: 0,
    });
    answer = secret === null ? null : secret.reveal().trim();
  } catch {
    return refusal('nobody'); // nobody is there to ask
  }
  if (answer === null) return refusal('declined');
  if (/^y(es)?$/i.test(answer))
    return { accepted: true, store: true, judgement, how: 'new, accepted by you' };
  const pasted = readFingerprint(answer.replace(/^sha256:/i, ''));
  if (pasted === shown)
    return { accepted: true, store: true, judgement, how: 'new, its fingerprint was given' };
  return refusal(pasted === null ? 'declined' : 'mismatch');
}

type UnknownReason = 'strict' | 'nobody' | 'declined' | 'mismatch';

const unknownWords: Readonly<Record<UnknownReason, string>> = {
  strict: 'is not in any known_hosts file, and host_keys is strict',
  nobody: 'was never seen before, and nobody is there to confirm it',
  declined: 'was not confirmed',
  mismatch: 'does not have the fingerprint that was given',
};

function unknown(host: Host, judgement: Judgement, why: UnknownReason): TunnelError {
  const type = keyType(judgement.key);
  const note =
    judgement.certificateProblem === null
      ? ''
      : ` (its certificate does not count: ${cleanText(judgement.certificateProblem)})`;
  return new TunnelError(
    'HOST_KEY_UNKNOWN',
    `host key unknown, on ${formatHop(host)}: ${shortTypeName(type)} ${fingerprint(judgement.key)} ${unknownWords[why]}${note}`,
    { hint: { command: 'trust', on: { host: hopWord(host) } }, facts: factsOf(host, judgement) },
  );
}

function factsOf(host: Host, judgement: Judgement): ErrorFacts<'HOST_KEY_UNKNOWN'> {
  return {
    kind: 'host-key',
    layer: 'kex',
    tcpLevel: false,
    host: host.name,
    endpoint: formatLogin(host),
    fingerprint: fingerprint(judgement.key),
    keyType: keyType(judgement.key),
    key: judgement.key.toString('base64'),
    randomart: randomart(judgement.key),
  };
}

/** A name that may stand for different machines on different networks: an alias keeps their keys apart. */
function needsAlias(host: Host): boolean {
  return /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|127\.|localhost$|f[cd][0-9a-f]{2}:|fe80:|::1$)/i.test(
    host.hostname,
  );
}

function changed(
  host: Host,
  judgement: Judgement,
  known: (Verdict & { kind: 'changed' })['known'],
): TunnelError {
  const presented = `${shortTypeName(keyType(judgement.key))} ${fingerprint(judgement.key)}`;
  const stands = known.map((key) => `${shortTypeName(key.type)} ${key.fingerprint} (${placeWords(key)})`);
  const alias = needsAlias(host)
    ? `; if this name means another machine on another network, give this one a host_key_alias`
    : '';
  return new TunnelError(
    'HOST_KEY_CHANGED',
    `host key changed, on ${formatHop(host)}: the server presents ${presented}, but ${stands.join(' and ')} is known; somebody may be listening in, or the server was reinstalled`,
    {
      hint: {
        command: 'trust',
        on: { host: hopWord(host) },
        flags: '--replace',
        note: `only when you know that the change is right${alias}`,
      },
      facts: {
        ...factsOf(host, judgement),
        known: known.map((key) => key.fingerprint),
        places: known.map((key) => placeWords(key)),
      },
    },
  );
}

function revoked(
  host: Host,
  trust: TrustStore,
  judgement: Judgement,
  verdict: Verdict & { kind: 'revoked' },
): TunnelError {
  const presented = `${shortTypeName(keyType(judgement.key))} ${fingerprint(judgement.key)}`;
  const authority = judgement.certificate?.caFingerprint;
  const what = verdict.what === 'key' ? 'that key' : `the certificate authority ${authority ?? ''} behind it`;
  return new TunnelError(
    'HOST_KEY_REVOKED',
    `host key revoked, on ${formatHop(host)}: the server presents ${presented}, but ${what} is revoked in ${placeWords(verdict.at)}`,
    {
      hint: [
        {
          command: 'trust',
          on: { host: hopWord(host) },
          flags: '--replace',
          note: 'once the server has a new key',
        },
        ...wayBack(host, trust, verdict.at),
      ],
      facts: { ...factsOf(host, judgement), places: [placeWords(verdict.at)] },
    },
  );
}

/** A line of ours can be taken back; what stands elsewhere is not ours to judge. */
function wayBack(host: Host, trust: TrustStore, at: Place): readonly (string | HintCommand)[] {
  if (at.file !== trust.file) return [];
  const name = hostKeyName(host.hostname, host.port, host.hostKeyAlias);
  return [
    '; if it was revoked by mistake: ',
    { command: 'hosts forget', on: { words: [name] }, flags: '--revoked' },
  ];
}

function unusable(host: Host, reason: string): TunnelError {
  return new TunnelError('KEX_FAILED', `host key refused, on ${formatHop(host)}: ${cleanText(reason)}`, {
    hint: { command: 'why', on: { host: host.name } },
    facts: { layer: 'kex', tcpLevel: false, person: true },
  });
}

function placeWords(place: Place): string {
  return `${place.file}:${place.line}`;
}

function sameKey(pinned: Buffer, blob: Buffer): boolean {
  return pinned.length === blob.length && timingSafeEqual(pinned, blob);
}
