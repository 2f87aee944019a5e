// A dial: everything from a host's name to a live session, in order, each step with its own deadline and report.
import type { Client } from 'ssh2';
import { TunnelError } from '../errors.ts';
import { abortable } from '../model/give-up.ts';
import type { Clock } from '../model/clock.ts';
import { formatHop, type Host } from '../model/host.ts';
import type { DialContext, Session } from '../model/session.ts';
import { recordRotation } from '../trust/changes.ts';
import { isCertificateType, plainKeyType } from '../keys/algorithms.ts';
import { orderHostKeyAlgorithms, type KnownTypes } from '../trust/verdict.ts';
import { hostKeyName, matchesHosts } from '../trust/known-hosts.ts';
import type { KnownHosts, TrustStore } from '../trust/store.ts';
import type { KeyLimits } from './ssh2/wire.ts';
import { offeredAlgorithms } from './algorithms.ts';
import { wordsOf } from './failure.ts';
import { ConfirmedTooLate, Handshake, type Handshaken } from './handshake.ts';
import type { AlgorithmNames } from './ssh2/parts.ts';
import { certificateTypes } from './ssh2/load.ts';
import type { CreateLogin, Login } from './auth/login.ts';
import { watchQuestions, type WatchedQuestions } from './auth/questions.ts';
import { Connection } from './session.ts';
import { openTransport, type Knocked, type Transport, type TransportParts } from './transport/open.ts';
import { createVerifier } from './verify.ts';
import type { WindowBudget } from './channels/window.ts';

export interface DialParts extends TransportParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly trust: TrustStore;
  readonly createLogin: CreateLogin;
  readonly budget: WindowBudget;
  readonly keyLimits?: KeyLimits;
}

export interface DialFrom {
  readonly via: Session | null;
  readonly knocked: Knocked | null;
}

/** Logs in. Throws the TunnelError of whatever failed, or the signal's reason when it is aborted. */
export async function dialSession(
  host: Host,
  from: DialFrom,
  given: DialParts,
  context: DialContext,
): Promise<Session> {
  const parts = { ...given, log: context.log ?? given.log };
  let knocked = from.knocked;
  let confirmed: Buffer | null = null;
  try {
    // twice at most: a person may have taken longer over the host key than the server waits
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await dialOnce(host, { via: from.via, knocked }, parts, context, confirmed);
      } catch (thrown) {
        if (!(thrown instanceof ConfirmedTooLate) || attempt > 1) throw thrown;
        confirmed = thrown.key;
        knocked = null;
      }
    }
  } finally {
    // a dial takes its transport over, also when it never came to use it
    if (from.knocked !== null && from.knocked !== knocked) from.knocked.destroy();
  }
}

async function dialOnce(
  host: Host,
  from: DialFrom,
  parts: DialParts,
  context: DialContext,
  confirmed: Buffer | null,
): Promise<Session> {
  const questions = watchQuestions(context);
  let login: Login | null = null;
  let transport: Transport | null = null;
  try {
    context.signal.throwIfAborted();
    const known = await parts.trust.read(host.knownHosts);
    const offer = orderedOffer(host, known);
    login = parts.createLogin(host, questions.context);
    await abortable(login.prepare(), context.signal);
    transport = await openTransport(host, from, parts, context);
    const { done, connection } = await handshakeOver(
      transport,
      { host, offer, known, login, confirmed, questions },
      parts,
      questions.context,
    );
    login.finish(true);
    return connection.open({ algorithms: done.algorithms, login: login.record() });
  } catch (thrown) {
    login?.finish(false);
    transport?.destroy();
    from.knocked?.destroy();
    throw thrown;
  }
}

/**
 * Types whose keys are known come first, or a known host would look changed (SPEC 5). Certificates are asked for where
 * a CA vouches for the name, and where something is revoked for it: it may be the CA of what is presented.
 */
function orderedOffer(host: Host, known: KnownHosts): AlgorithmNames {
  const offer = offeredAlgorithms(host);
  const name = hostKeyName(host.hostname, host.port, host.hostKeyAlias);
  const types = known.knownTypes(name);
  if (host.algorithms.hostKey !== null)
    return { ...offer, hostKey: orderHostKeyAlgorithms(offer.hostKey, types) };
  const revoked = known.entries.some(
    ({ marker, hosts }) => marker === 'revoked' && matchesHosts(hosts, name),
  );
  const certified = certificateTypes.filter(
    (type) => types.certificates || (revoked && canBeKnown(type, types)),
  );
  const order = { ...types, certificates: certified.length > 0 };
  return { ...offer, hostKey: orderHostKeyAlgorithms([...certified, ...offer.hostKey], order) };
}

/** A certificate that does not count is its plain key: of another type than the known ones it would look changed. */
function canBeKnown(type: string, { keyTypes }: KnownTypes): boolean {
  const plain = plainKeyType(type).replace(/^rsa-sha2-\d+$/, 'ssh-rsa');
  return keyTypes.length === 0 || keyTypes.includes(plain);
}

interface Scene {
  readonly host: Host;
  readonly offer: AlgorithmNames;
  readonly known: KnownHosts;
  readonly login: Login;
  readonly confirmed: Buffer | null;
  readonly questions: WatchedQuestions;
}

async function handshakeOver(
  transport: Transport,
  scene: Scene,
  parts: DialParts,
  context: DialContext,
): Promise<{ done: Handshaken; connection: Connection }> {
  const { host, offer, known, login, confirmed } = scene;
  const { stream } = transport;
  const { clock, log, trust } = parts;
  const verifier = createVerifier({ host, known, trust, context, confirmed, log });
  let connection: Connection | null = null;
  const handshake: Handshake = new Handshake({
    host,
    stream,
    silence: transport.silence,
    offer,
    verifier,
    login,
    context,
    clock,
    log,
    connected: (client) => {
      connection = new Connection({ ...parts, host, stream, slabs: transport.slabs }, client);
      connection.connected();
    },
    goodbye: () => connection?.goodbye ?? null,
    fresh: (cipher) => connection?.freshKeys(cipher),
  });
  scene.questions.watch({ begin: () => handshake.pause(), end: () => handshake.resume() });
  const done = await handshake.run();
  if (connection === null)
    throw new TunnelError('INTERNAL', `login failed, on ${formatHop(host)}: no connection`);
  followRotation(done, verifier.name, host, parts);
  return { done, connection };
}

/** UpdateHostKeys: keys that the server proves after the login are recorded, or marked as gone (SPEC 5). */
function followRotation(done: Handshaken, name: string, host: Host, parts: DialParts): void {
  const { trust, clock, log } = parts;
  if (isCertificateType(done.algorithms.hostKey)) return; // a CA says nothing of the host's own keys
  (done.client as Client & NodeJS.EventEmitter).on('hostkeys', (keys: { getPublicSSH(): Buffer }[]) => {
    const proved = keys.map((key) => Buffer.from(key.getPublicSSH()));
    recordRotation(
      { store: trust, name, foreignFiles: host.knownHosts, nowMs: clock.now() },
      { presented: done.hostKey, proved },
    ).then(
      ({ added, gone }) => {
        for (const key of added)
          log('info', 'host-key', `${name} has a further key: ${key.type} ${key.fingerprint}`);
        for (const key of gone)
          log('info', 'host-key', `${name} has a key no more: ${key.type} ${key.fingerprint}`);
      },
      (thrown: unknown) => log('warn', 'host-key', `keys of ${name} were not recorded: ${wordsOf(thrown)}`),
    );
  });
}
