// Dials: everything from a host's name to a live session, in order, each step with its own deadline and report. The supervisor
// is handed this as its Dialer, which can also try the port alone, forget what was kept of a host, and tell of changed circumstances.
import { createHash } from 'node:crypto';
import type { Client } from 'ssh2';
import { readForeignFile } from '../files/foreign-file.ts';
import { isCertificateType, plainKeyType } from '../keys/algorithms.ts';
import { abortable } from '../model/give-up.ts';
import { systemClock, type Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { LocalUser } from '../model/proxy-command.ts';
import type { Dialer, DialContext, Session } from '../model/session.ts';
import { orderHostKeyAlgorithms, type KnownTypes } from '../trust/verdict.ts';
import { recordRotation } from '../trust/changes.ts';
import { hostKeyName, matchesHosts } from '../trust/known-hosts.ts';
import { knownHostsLimitBytes } from '../trust/store.ts';
import type { KnownHosts, TrustStore } from '../trust/store.ts';
import { offeredAlgorithms } from './algorithms.ts';
import type { Credentials } from './auth/credentials.ts';
import type { DialLogin } from './auth/login.ts';
import { createWindowBudget, type WindowBudget } from './channels/window.ts';
import { createAckBudget, type AckBudget } from './channels/prompt-acks.ts';
import { dialTrouble, wordsOf } from './failure.ts';
import { ConfirmedTooLate, Handshake, type Handshaken } from './handshake.ts';
import { Connection } from './session.ts';
import { certificateTypes } from './ssh2/load.ts';
import type { AlgorithmNames } from './ssh2/parts.ts';
import type { KeyLimits } from './ssh2/wire.ts';
import { createCommandTurns, type CommandTurns } from './transport/command.ts';
import {
  knock,
  Knocked,
  openTransport,
  type Transport,
  type TransportLog,
  type TransportParts,
} from './transport/open.ts';
import { HostKeyCheck } from './verify.ts';

export interface DialerParts {
  readonly trust: TrustStore;
  readonly credentials: Credentials;
  /** The password of `host.proxy`, read where its source says. */
  readonly proxyPassword: (host: Host, context: DialContext) => Promise<string>;
  /** Names of variables that hold secrets of any host: a ProxyCommand does not get them. */
  readonly secretVariables: () => Iterable<string>;
  /** Shared by dialers of one process: no proxy command is started twice while it may wait for a person. */
  readonly turns?: CommandTurns;
  /** Who we are: for the tokens of a ProxyCommand. */
  readonly local: LocalUser;
  readonly log: TransportLog;
  readonly clock?: Clock;
  readonly random?: () => number;
  /** How much one set of keys carries; the usual: 32 GiB or 2^30 packets, 1 GiB with ChaCha20. */
  readonly keyLimits?: KeyLimits;
}

export function createDialer(parts: DialerParts): Dialer {
  const clock = parts.clock ?? systemClock;
  const dialParts: DialParts = {
    ...parts,
    clock,
    random: parts.random ?? Math.random,
    turns: parts.turns ?? createCommandTurns(),
    budget: createWindowBudget(),
    ackBudget: createAckBudget(clock),
  };
  return {
    reach: (host, signal) => knock(host, clock, signal),
    dial: async (host, from, context) => {
      const knocked = from.transport instanceof Knocked ? from.transport : null;
      try {
        return await dialSession({
          host,
          from: { via: from.via, knocked },
          parts: dialParts,
          context,
          confirmed: null,
        });
      } catch (thrown) {
        throw context.signal.aborted ? thrown : dialTrouble(host, thrown);
      }
    },
    forgetAllBut: (hosts) => parts.credentials.forgetAllBut(hosts),
    typed: () => parts.credentials.typed(),
    inherit: (typed) => parts.credentials.inherit(typed),
    circumstances: (host, code, environment) =>
      code.startsWith('HOST_KEY_')
        ? knownHostsDigest([parts.trust.file, ...host.knownHosts])
        : parts.credentials.circumstances(host, environment),
  };
}

/** Host key trouble hangs on the known_hosts files, everything else that needs a person on the credentials. */
async function knownHostsDigest(files: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const file of files) {
    const content = await readForeignFile(file, knownHostsLimitBytes).then(
      ({ bytes }) => bytes,
      (thrown: NodeJS.ErrnoException) => thrown.code ?? thrown.message,
    );
    hash.update(JSON.stringify([file, content.length])).update(content);
  }
  return hash.digest('hex');
}

interface DialParts extends TransportParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly trust: TrustStore;
  readonly credentials: Credentials;
  readonly budget: WindowBudget;
  readonly ackBudget: AckBudget;
  readonly keyLimits?: KeyLimits;
}

interface DialFrom {
  readonly via: Session | null;
  readonly knocked: Knocked | null;
}

/** One attempt at a login. */
interface Dial {
  readonly host: Host;
  readonly from: DialFrom;
  readonly parts: DialParts;
  readonly context: DialContext;
  /** A host key that a person confirmed while the server of an earlier attempt lost patience. */
  readonly confirmed: Buffer | null;
}

/**
 * Logs in. Throws the TunnelError of whatever failed, or the signal's reason when it is aborted. Takes over what was
 * knocked, also where it never comes to use it.
 */
async function dialSession(dial: Dial): Promise<Session> {
  try {
    return await dialOnce(dial);
  } catch (thrown) {
    if (!(thrown instanceof ConfirmedTooLate)) throw thrown;
    // once more: a person took longer over the host key than the server waits
    return dialOnce({ ...dial, from: { via: dial.from.via, knocked: null }, confirmed: thrown.key });
  }
}

async function dialOnce(dial: Dial): Promise<Session> {
  const { host, from, confirmed } = dial;
  const parts = { ...dial.parts, log: dial.context.log ?? dial.parts.log };
  const { trust, clock, log } = parts;
  const questions = new WatchedQuestions(dial.context);
  const { context } = questions;
  let login: DialLogin | null = null;
  let transport: Transport | null = null;
  try {
    context.signal.throwIfAborted();
    const known = await trust.read(host.knownHosts);
    const offer = orderedOffer(host, known);
    login = parts.credentials.createLogin(host, context);
    await abortable(login.prepare(), context.signal);
    transport = await openTransport(host, from, parts, dial.context);
    const { stream, slabs } = transport;
    const key = new HostKeyCheck({ host, known, trust, context, confirmed, log });
    const hold = (client: Client): Connection => {
      const connection = new Connection({ ...parts, host, stream, slabs }, client);
      connection.connected();
      return connection;
    };
    const handshake = new Handshake({ host, transport, offer, key, login, context, clock, log, hold });
    questions.watch(handshake);
    const done = await handshake.run();
    followRotation(done, key.name, host, parts);
    login.finish(true);
    return done.connection.open({ algorithms: done.algorithms, login: login.record() });
  } catch (thrown) {
    login?.finish(false);
    transport?.destroy();
    from.knocked?.destroy();
    throw thrown;
  }
}

/** Questions of a dial, seen from its clock: while a person is at one, no deadline runs (SPEC 3). */
class WatchedQuestions {
  /** The same context, whose questions are seen. */
  readonly context: DialContext;
  #handshake: Handshake | null = null;
  #open = 0;

  constructor(context: DialContext) {
    this.context = {
      ...context,
      ask: async (question) => {
        this.#open += 1;
        this.#handshake?.pause();
        try {
          return await context.ask(question);
        } finally {
          this.#open -= 1;
          this.#handshake?.resume();
        }
      },
    };
  }

  /** Tells of every question from now on, and of one that is open. */
  watch(handshake: Handshake): void {
    this.#handshake = handshake;
    for (let left = this.#open; left > 0; left -= 1) handshake.pause();
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
