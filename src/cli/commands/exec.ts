// `tunnel exec SEL… -- CMD…`: tunnels for the time of one command, which finds them in its variables and ends with its own exit code.
import { accessSync } from 'node:fs';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Context, Interruption } from '../../client/context.ts';
import { needSupervisor, withSupervisor } from '../../client/launch.ts';
import { localEnds } from '../../config/local-ends.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { isRunning, locateTarget } from '../../client/supervisor.ts';
import { matchSelectors } from '../../config/selectors.ts';
import type { ControlClient } from '../../control/client.ts';
import type { UpParams, UpResult } from '../../control/protocol.ts';
import { TunnelError, worstExitCode, type Hint } from '../../errors.ts';
import { NotStarted, runInPlace, type OwnEnding } from '../../files/child.ts';
import { callerEnvironment } from '../../model/environment.ts';
import { shellWord } from '../../model/shell-word.ts';
import { tunnelVariables, type Reached } from '../../model/tunnel-variables.ts';
import { nameOption, writeAdhoc } from '../adhoc-tunnel.ts';
import { bringUp, patienceMs, supervisorOf, type Bringing } from '../bringing.ts';
import { timeoutOption, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { showFailures } from '../conversation.ts';
import { createKeepOffer } from '../keep-offer.ts';
import { typedLine } from '../typed-line.ts';

export const spec: CommandSpec = {
  name: 'exec',
  words: 'SEL… -- CMD…',
  takes: { least: 0 },
  without: null,
  otherWords: '-L … HOST -- CMD…',
  ssh: true,
  runs: true,
  about: 'run a command while tunnels are up',
  more: [
    'Waits until the tunnels serve, and their probes too, then runs CMD with the variables of `tunnel env`, and',
    'ends with its exit code (128 and the signal that killed it; 127: no such program; 126: it cannot be run).',
    'Afterwards takes down what it brought up, unless another exec needs it or somebody brought it up since.',
    'With -L, -R or -D as for ssh(1), and a server instead of SEL: a tunnel for this command alone. Its variables',
    'are named after what it reaches (auto:db:5432: DB_PORT); with --name web they are WEB_HOST and WEB_PORT.',
  ],
  options: [
    timeoutOption,
    nameOption,
    { name: 'accept-new', about: 'this once, trust host keys that are not known yet' },
    { name: 'remap', about: 'where a local port is taken, use a free one near it' },
  ],
  examples: [
    ["tunnel exec db -- sh -c 'psql -h $DB_HOST -p $DB_PORT'", 'up before it, down behind it'],
    ["tunnel exec db cache -- sh -c 'migrate $DB_HOST:$DB_PORT'", 'two, by their variables'],
    [
      "tunnel exec -L auto:db:5432 me@bastion -- sh -c 'psql -h $DB_HOST -p $DB_PORT'",
      'one that is in no file',
    ],
  ],
};

export const run: Run = async (context, args) => {
  checkWords(args);
  const [program = ''] = args.behind;
  if (isAbsent(program, context)) return notRun(context, args.behind, { code: 'ENOENT' });
  if (args.sshWords.length > 0) return executeAdhoc(context, args);
  if (args.text('name') !== undefined)
    throw usage('tunnel exec takes --name only with a forward, -L, -R or -D', { command: 'exec --help' });
  return execute(context, args, { selectors: args.words, once: false, nameOf: (name) => name });
};

interface Used {
  readonly selectors: readonly string[];
  /** The tunnel was made for this command alone. */
  readonly once: boolean;
  /** By which its variables are named. */
  readonly nameOf: (tunnel: string) => string;
  /** Of a command that has made the tunnel, and takes it out again if this throws. */
  readonly interruption?: Interruption;
}

async function execute(context: Context, args: Args, used: Used): Promise<number> {
  const timeoutMs = args.durationMs('timeout', patienceMs);
  const config = await readyConfig(context);
  const { selectors, once, nameOf } = used;
  // A name that is nobody's starts no supervisor.
  matchSelectors(selectors, config.resolved.tunnels);
  const offer = createKeepOffer(context, config.resolved);
  const { typed } = offer;
  const terms = { method: 'up', timeoutMs, lease: { once }, lines: false } as const;
  const asks: Asks = { context, args, selectors, config, typed, ...terms };
  const interruption = used.interruption ?? context.interruption();
  using _own = used.interruption === undefined ? interruption : null;
  return await withSupervisor(supervisorOf(asks, interruption.signal), async (client) => {
    // Ctrl-C ends the waiting, and with the connection the lease.
    const result = await bringUp(client, { ...asks, interruption });
    interruption[Symbol.dispose](); // nothing is waited for any more: signals are the program's
    if (result.failures.length > 0) {
      showFailures(context, result.failures, result.document.tunnels.length);
      context.talk(`${shellWord(args.behind[0] ?? '')} was not run`);
      await client.call('release', {}).catch(() => null); // a supervisor of before it knew leases
      return worstExitCode(result.failures.map(({ error }) => error.code));
    }
    if (context.interactive) await offer.make(result.document);
    return runLeased(client, asks, args.behind, variablesOf(asks, result, nameOf));
  });
}

/** A tunnel that is in no file, and is gone with the command. */
async function executeAdhoc(context: Context, args: Args): Promise<number> {
  for (let tries = 1; ; tries += 1) {
    using interruption = context.interruption();
    const { name, meant, isNew, forget } = await writeAdhoc(context, args, 'exec');
    const nameOf = (tunnel: string): string => (tunnel === name ? meant : tunnel);
    try {
      const code = await execute(context, args, { selectors: [name], once: isNew, nameOf, interruption });
      if (isNew && !(await isRunning(locateTarget(context)))) await forget();
      return code;
    } catch (thrown) {
      if (isNew) await forget();
      // Another command made the tunnel, and has just ended.
      const isGone = !isNew && thrown instanceof TunnelError && thrown.code === 'NO_SUCH_TUNNEL';
      if (!isGone || tries === 3) throw thrown;
    }
  }
}

/** What the supervisor is asked for, now and again after a crash or a replacement of it. */
type Asks = Omit<Bringing, 'interruption'>;

async function runLeased(
  client: ControlClient,
  asks: Asks,
  command: readonly string[],
  variables: Readonly<Record<string, string>>,
): Promise<number> {
  const { context } = asks;
  const lease = holdLease(client, (signal) => leaseAgain(asks, signal));
  try {
    return codeOf(await runInPlace(command, { ...context.facts.env, ...variables }));
  } catch (thrown) {
    if (!(thrown instanceof NotStarted)) throw thrown;
    return notRun(context, command, thrown);
  } finally {
    await lease.end();
  }
}

function checkWords({ words, behind, typed }: Args): void {
  const help = { command: 'exec --help' };
  if (words.length === 0) throw usage('tunnel exec needs a tunnel', help);
  if (behind.length > 0) return;
  if (words.length === 1) throw usage('tunnel exec needs a command, behind --', help);
  const [first = ''] = words;
  const split = typedLine(typed, typed.indexOf(first), [first, '--']);
  throw usage('tunnel exec needs -- before the command', split ?? help);
}

/** Told before anybody is asked for a password. What it finds may still not be a program: the system says so later. */
function isAbsent(program: string, { facts }: Context): boolean {
  if (facts.platform === 'win32' || program === '' || program.includes('/')) return false;
  const folders = (facts.env['PATH'] ?? '/usr/bin:/bin').split(delimiter);
  return !folders.some((folder) => isThere(join(folder === '' ? '.' : folder, program)));
}

function isThere(path: string): boolean {
  try {
    accessSync(path);
    return true;
  } catch {
    return false;
  }
}

/** In the words and with the codes of a shell. */
function notRun(
  context: Context,
  [program = '', ...others]: readonly string[],
  why: Pick<NotStarted, 'code'>,
): number {
  const absent = why.code === 'ENOENT';
  const reason = absent ? 'there is no such program' : (why as NotStarted).message;
  const message = `start failed, on ${program === '' ? "''" : program}: ${reason}`;
  context.complain({ code: 'USAGE', message, hint: hintFor(program, others, absent) });
  return absent ? 127 : 126;
}

function hintFor(program: string, others: readonly string[], absent: boolean): Hint {
  if (/\s/.test(program) && others.length === 0) return `tunnel exec … -- sh -c ${shellWord(program)}`;
  if (program.includes('/')) return `ls -ld ${shellWord(program)}`;
  return absent ? 'echo "$PATH"    # where it was looked for' : `type ${shellWord(program)}`;
}

function variablesOf(
  { config }: Pick<Asks, 'config'>,
  { document }: UpResult,
  nameOf: Used['nameOf'],
): Record<string, string> {
  const reached = config.resolved.tunnels.flatMap((tunnel): Reached[] => {
    const status = document.tunnels.find(({ name }) => name === tunnel.name);
    const ends = status === undefined ? null : localEnds(tunnel, status);
    return ends === null ? [] : [{ tunnel: { ...tunnel, name: nameOf(tunnel.name) }, ends }];
  });
  return Object.fromEntries(tunnelVariables(reached));
}

const codeOf = (ending: OwnEnding): number =>
  ending.how === 'exited' ? ending.code : 128 + constants.signals[ending.by];

interface HeldLease {
  /** Resolves when what nobody needs any more is down. */
  end(): Promise<void>;
}

/**
 * As long as the command runs: a supervisor that crashes is started again, and gives the tunnels again; so does one that replaces
 * another, which goes on with what runs through them.
 */
function holdLease(first: ControlClient, again: (signal: AbortSignal) => Promise<ControlClient>): HeldLease {
  let client = first;
  const ending = new AbortController();
  const watch = async (): Promise<void> => {
    for (;;) {
      await client.call('leased', {}).catch(() => null);
      if (!(client.lost || client.ending) || ending.signal.aborted) return;
      client = await again(ending.signal);
      if (!ending.signal.aborted) continue;
      await client.call('release', {}).catch(() => null); // it was taken when the command ended
      return;
    }
  };
  const watching = watch().catch(() => undefined); // no supervisor starts any more: the tunnels' clients see it
  return {
    async end() {
      ending.abort();
      await client.call('release', {}).catch(() => null); // gone: then nothing is up for us
      client.close();
      await watching;
      if (client !== first) client.close();
    },
  };
}

/** Asks nothing: the terminal belongs to the command now. */
async function leaseAgain(asks: Asks, signal: AbortSignal): Promise<ControlClient> {
  const { context, selectors, timeoutMs, lease, args } = asks;
  const client = await needSupervisor(supervisorOf(asks));
  if (signal.aborted) return client;
  const params: UpParams = {
    selectors,
    timeoutMs,
    lease,
    interactive: false,
    acceptNew: false,
    remap: args.flag('remap'),
    environment: callerEnvironment(context.facts.env),
  };
  try {
    await client.call('up', params, { signal });
    return client;
  } catch (thrown) {
    client.close();
    throw thrown;
  }
}
