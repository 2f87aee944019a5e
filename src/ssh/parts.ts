// The parts of a login, put together: trust, secrets, credentials and the dialer. For the supervisor and for `tunnel trust`.
import { join } from 'node:path';
import { TunnelError } from '../errors.ts';
import { passwdEntry, userName } from '../files/process-facts.ts';
import type { Clock } from '../model/clock.ts';
import { formatHostPort } from '../model/endpoint.ts';
import type { Host } from '../model/host.ts';
import type { Secret } from '../model/secret.ts';
import type { DialContext, Dialer } from '../model/session.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { PlaceFacts, Places } from '../paths.ts';
import { bindingsFolder, createBindings } from '../secrets/entries.ts';
import { createEntries } from '../secrets/entries.ts';
import { createKeychain } from '../secrets/keychain.ts';
import { createSecretReader, type SecretReader } from '../secrets/read.ts';
import { withheldVariables } from '../secrets/read.ts';
import { createCredentials } from './auth/credentials.ts';
import { createDialer, type DialerParts } from './dial.ts';
import { openProven, openSpentCodes, provenInMemory, spentInMemory } from './auth/kept.ts';
import { createCommandTurns } from './transport/command.ts';
import { createTrustStore, type TrustStore } from '../trust/store.ts';

/** How long the keychain may take: somebody may be unlocking it. */
const keychainLimitMs = 60_000;

export interface SshOptions {
  readonly facts: PlaceFacts;
  readonly places: Places;
  readonly clock: Clock;
  readonly log: DialerParts['log'];
  /** Program and arguments that run this same program. */
  readonly program: readonly [string, ...string[]];
  /** Keychain entries of other tools are not for a project file. */
  readonly project: boolean;
  /** What is in force now: its `env:` sources name the variables that no command gets. */
  readonly config: () => ResolvedConfig | null;
  /** False: the state folder cannot be written. */
  readonly writable: boolean;
}

export interface SshHouse {
  readonly dialer: Dialer;
  readonly trust: TrustStore;
  readonly secrets: SecretReader;
  /** What the dialer was made of, to make one that differs in a part. */
  readonly parts: DialerParts;
}

export function openSsh(options: SshOptions): SshHouse {
  const { facts, places, clock, log } = options;
  const entry = passwdEntry();
  const user = userName(facts, entry);
  const withheld = (): ReadonlySet<string> => withheldVariables(options.config() ?? { tunnels: [] });
  const trust = openTrust(options);
  const secrets = openSecrets(options, withheld);
  const credentials = createCredentials({
    secrets,
    proven: options.writable
      ? openProven(join(places.stateDir, 'proven.json'), (why) => log('warn', 'proven', why))
      : provenInMemory(),
    spentCodes: options.writable
      ? openSpentCodes(join(places.stateDir, 'codes'), (why) => log('warn', 'codes', why))
      : spentInMemory(),
    clock,
    log,
    uid: facts.platform === 'win32' ? null : facts.uid,
    hostname: facts.hostname,
    localUser: user,
    withheld,
  });
  const parts: DialerParts = {
    trust,
    credentials,
    proxyPassword: (host, context) => proxyPassword(host, context, secrets),
    secretVariables: withheld,
    turns: createCommandTurns(),
    local: { user, uid: facts.uid, home: entry?.home ?? facts.home, hostname: facts.hostname },
    log,
    clock,
  };
  return { dialer: createDialer(parts), trust, secrets, parts };
}

function openTrust({ places, clock, log, writable }: SshOptions): TrustStore {
  return createTrustStore({
    file: places.knownHosts,
    now: () => clock.now(),
    keepInMemory(why) {
      // Where nothing at all can be written that was said at the start.
      if (writable) log('warn', 'host-key', `${why.message}; what is trusted is kept in memory`);
    },
  });
}

function openSecrets(options: SshOptions, withheld: () => ReadonlySet<string>): SecretReader {
  const { facts, places, program, project } = options;
  const keychain = createKeychain({
    spawnArgv: [...program, '__keychain'],
    timeoutMs: keychainLimitMs,
    environment: facts.env,
  });
  return createSecretReader({
    entries: createEntries(keychain, createBindings(bindingsFolder(places.stateDir))),
    isProject: () => project,
    withheld,
    credentialsDirectory: facts.env['CREDENTIALS_DIRECTORY'] ?? null,
  });
}

async function proxyPassword(host: Host, context: DialContext, secrets: SecretReader): Promise<string> {
  const { proxy } = host;
  if (proxy?.password === null || proxy?.password === undefined) return '';
  const ref = proxy.password;
  const endpoint = `${proxy.user ?? ''}@${formatHostPort(proxy.host, proxy.port)}`;
  if (ref.from === 'prompt') return (await askProxyPassword(host, endpoint, context)).reveal();
  const { environment, signal } = context;
  const name = proxy.host;
  return (await secrets.read({ ref, kind: 'password', name, endpoint, environment, signal })).reveal();
}

async function askProxyPassword(host: Host, endpoint: string, context: DialContext): Promise<Secret> {
  const missing = (why: string): TunnelError =>
    new TunnelError('SECRET_MISSING', `proxy login failed, on ${endpoint}: ${why}`, {
      hint: { command: 'up', on: { host: host.name } },
    });
  const answer = await context
    .ask({
      kind: 'password',
      host: host.name,
      text: `Password of the proxy for ${endpoint}`,
      echo: false,
      fingerprint: null,
      endpoint,
      keyType: null,
      randomart: [],
      fromServer: false,
      tries: 0,
    })
    .catch(() => {
      throw missing('its password must be typed, and nobody is there to type it');
    });
  if (answer === null) throw missing('its password was not given');
  return answer;
}
