// The door to SSH: what the supervisor is handed to knock, dial, forget and ask whether anything has changed.
import { createHash } from 'node:crypto';
import type { ErrorCode } from '../errors.ts';
import { readForeignFile } from '../files/foreign-file.ts';
import { systemClock, type Clock } from '../model/clock.ts';
import type { Host } from '../model/host.ts';
import type { LocalUser } from '../model/proxy-command.ts';
import type { CallerEnvironment, Dialer, DialContext } from '../model/session.ts';
import { knownHostsLimitBytes, type TrustStore } from '../trust/store.ts';
import { dialSession, type DialParts } from './dial.ts';
import { dialTrouble } from './failure.ts';
import type { KeyLimits } from './ssh2/wire.ts';
import type { CreateLogin } from './auth/login.ts';
import { Knocked, knock, type TransportLog } from './transport/open.ts';
import { createCommandTurns, type CommandTurns } from './transport/command.ts';
import { createWindowBudget } from './channels/window.ts';

export interface DialerParts {
  readonly trust: TrustStore;
  readonly createLogin: CreateLogin;
  /** Forgets what was typed for any other host. */
  readonly forgetAllBut: (hosts: readonly Host[]) => void;
  /** A digest of what a host's credentials hang on. */
  readonly credentialCircumstances: (host: Host, environment: CallerEnvironment) => Promise<string>;
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
  };
  return {
    reach: (host, signal) => knock(host, clock, signal),
    dial: async (host, from, context) => {
      const knocked = from.transport instanceof Knocked ? from.transport : null;
      try {
        return await dialSession(host, { via: from.via, knocked }, dialParts, context);
      } catch (thrown) {
        throw context.signal.aborted ? thrown : dialTrouble(host, thrown);
      }
    },
    forgetAllBut: parts.forgetAllBut,
    circumstances: (host, code, environment) => circumstances(parts, host, code, environment),
  };
}

/** Host key trouble hangs on the known_hosts files, everything else that needs a person on the credentials. */
async function circumstances(
  parts: DialerParts,
  host: Host,
  code: ErrorCode,
  environment: CallerEnvironment,
): Promise<string> {
  if (!code.startsWith('HOST_KEY_')) return parts.credentialCircumstances(host, environment);
  const hash = createHash('sha256');
  for (const file of [parts.trust.file, ...host.knownHosts]) {
    const content = await readForeignFile(file, knownHostsLimitBytes).then(
      ({ bytes }) => bytes,
      (thrown: NodeJS.ErrnoException) => thrown.code ?? thrown.message,
    );
    hash.update(JSON.stringify([file, content.length])).update(content);
  }
  return hash.digest('hex');
}
