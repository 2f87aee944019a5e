// A secret from where the config says it is: environment, file, command or keychain; and which variables no command may see. Prompts are somebody else's.
import { createHash, randomBytes } from 'node:crypto';
import { TunnelError } from '../errors.ts';
import { statForeignFile } from '../files/foreign-file.ts';
import type { Reader } from '../files/owned.ts';
import type { Host } from '../model/host.ts';
import { Secret, type SecretKind, type SecretRef } from '../model/secret.ts';
import type { CallerEnvironment } from '../model/session.ts';
import type { ResolvedConfig } from '../model/tunnel.ts';
import type { SecretEntries } from './entries.ts';
import { readSecretCommand, readSecretFile } from './sources.ts';

/** Sources that need nobody. */
export type StoredRef = Exclude<SecretRef, { readonly from: 'prompt' }>;

export interface SecretRequest {
  readonly ref: StoredRef;
  readonly kind: SecretKind;
  /** For the keychain: a host's name, or the absolute path of a key file. */
  readonly name: string;
  /** For the keychain: user@hostname:port the secret is for; null for a key file. */
  readonly endpoint: string | null;
  /** Of the command that wanted the tunnel. */
  readonly environment: CallerEnvironment;
  readonly signal?: AbortSignal;
}

export interface SecretReader {
  /** Throws SECRET_MISSING, naming the source and what to do. The error never holds a secret. */
  read(request: SecretRequest): Promise<Secret>;
  /**
   * A digest of what `read` would find, as far as that can be told without asking anybody: it changes when the file
   * or the variable does. Differs between runs of the program, so that nothing can be learned from it.
   */
  circumstances(ref: SecretRef, environment: CallerEnvironment): Promise<string>;
}

export interface SecretReaderOptions {
  readonly entries: SecretEntries;
  /** The config is a project file: keychain entries that tunnel did not set are not for it. */
  readonly isProject: () => boolean;
  /** Variables that no command gets (`withheldVariables`). */
  readonly withheld: () => ReadonlySet<string>;
  /** $CREDENTIALS_DIRECTORY of this process; that of the caller counts when there is none. */
  readonly credentialsDirectory: string | null;
  /** Our user; null where there are no user ids. Default: asked of the system. */
  readonly reader?: Reader | null;
  /** For `command:`. Default 30 s. */
  readonly commandTimeoutMs?: number;
}

export function createSecretReader(options: SecretReaderOptions): SecretReader {
  const reader = options.reader === undefined ? currentReader() : options.reader;
  const salt = randomBytes(16);
  const credentialsOf = (environment: CallerEnvironment): string | null =>
    options.credentialsDirectory ?? environment.variables['CREDENTIALS_DIRECTORY'] ?? null;
  return {
    async read({ ref, kind, name, endpoint, environment, signal }) {
      const call = signal === undefined ? {} : { signal };
      switch (ref.from) {
        case 'env':
          return readVariable(ref.name, environment);
        case 'file':
          return readSecretFile(ref.path, {
            reader,
            credentialsDirectory: credentialsOf(environment),
          });
        case 'command':
          return readSecretCommand(ref.argv, {
            environment: environmentWithout(environment.variables, options.withheld()),
            timeoutMs: options.commandTimeoutMs ?? 30_000,
            ...call,
          });
        case 'keychain':
          return options.entries.read(
            { name, kind, endpoint },
            { onlyOurs: options.isProject(), environment: environment.variables, ...call },
          );
      }
    },
    async circumstances(ref, environment) {
      const facts = await factsOf(ref, environment, credentialsOf(environment));
      return createHash('sha256').update(salt).update(facts).digest('hex');
    },
  };
}

function readVariable(name: string, environment: CallerEnvironment): Secret {
  const value = environment.variables[name];
  if (value !== undefined && value !== '') return new Secret(value);
  const why = value === '' ? 'is empty' : 'is not set';
  throw new TunnelError(
    'SECRET_MISSING',
    `variable ${name} ${why} in the environment that wanted the tunnel`,
    {
      hint: [`read -rs ${name}; export ${name}; `, { command: 'up' }],
      facts: { source: 'env', variable: name },
    },
  );
}

async function factsOf(
  ref: SecretRef,
  environment: CallerEnvironment,
  credentials: string | null,
): Promise<string> {
  switch (ref.from) {
    case 'env':
      return `env ${environment.variables[ref.name] ?? ''}`;
    case 'file': {
      const path = ref.path.replace(/^\$\{?CREDENTIALS_DIRECTORY\}?/, credentials ?? '');
      // ctime: a change of mode or owner may be what it waits for
      const found = await statForeignFile(path).catch(() => null);
      return found === null
        ? 'file absent'
        : `file ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
    }
    case 'command':
    case 'keychain':
    case 'prompt':
      return ref.from; // nobody can tell without asking
  }
}

function currentReader(): Reader | null {
  const uid = process.geteuid?.();
  if (uid === undefined) return null;
  const own = process.getegid?.();
  return { uid, groups: [...(process.getgroups?.() ?? []), ...(own === undefined ? [] : [own])] };
}

/** Names of all variables that some source of the config reads. */
export function withheldVariables(
  config: Pick<ResolvedConfig, 'tunnels' | 'secretVariables'>,
): ReadonlySet<string> {
  const names = new Set<string>(config.secretVariables);
  for (const ref of config.tunnels.flatMap(refsOf)) if (ref?.from === 'env') names.add(ref.name);
  return names;
}

function refsOf(tunnel: ResolvedConfig['tunnels'][number]): (SecretRef | null)[] {
  const hosts = tunnel.ways.flatMap((way) => [...way]).flatMap(hostRefs);
  const forwards = tunnel.forwards.map((forward) =>
    forward.type === 'dynamic' ? (forward.socksAuth?.password ?? null) : null,
  );
  return [...hosts, ...forwards];
}

function hostRefs(host: Host): (SecretRef | null)[] {
  return [host.password, host.passphrase, host.totp, host.proxy?.password ?? null];
}

/** The environment for a command of the user's: the caller's own without those. */
export function environmentWithout(
  variables: Readonly<Record<string, string>>,
  withheld: ReadonlySet<string>,
): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).filter(([name]) => !withheld.has(name)));
}
