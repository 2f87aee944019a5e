// `tunnel up`, and what `tunnel restart` has in common with it: make it so, now, and wait until it is.
import { TunnelError, worstExitCode, type HintCommand } from '../../errors.ts';
import type { Lease, UpResult } from '../../control/protocol.ts';
import { matchSelectors } from '../../config/selectors.ts';
import { missingNativePart, withSupervisor } from '../../client/launch.ts';
import {
  anyWords,
  drainOption,
  selectorWords,
  timeoutOption,
  usage,
  type Args,
  type CommandSpec,
  type Run,
} from '../command.ts';
import { Interrupted, type Context, type Interruption } from '../../client/context.ts';
import { nameOption, tellAdhoc, writeAdhoc } from '../adhoc-tunnel.ts';
import { bringUp, patienceMs, supervisorOf, type Bringing } from '../bringing.ts';
import { showFailures } from '../conversation.ts';
import { createKeepOffer } from '../keep-offer.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { isRunningOrReplaced } from '../../client/replace.ts';
import { shellWord } from '../../model/shell-word.ts';
import { versionNotes } from '../../render/status.ts';

export const spec: CommandSpec = {
  name: 'up',
  words: selectorWords,
  takes: anyWords,
  without: 'every tunnel with autostart: true',
  otherWords: '-L … HOST',
  ssh: true,
  about: 'bring tunnels up and wait until they serve',
  more: [
    'Starts the supervisor when there is none.',
    'On a terminal it asks what must be asked; off a terminal it fails with the code of the cause.',
    'Ctrl-C ends the waiting, not the tunnels.',
    'With -L, -R or -D as for ssh(1), and a server instead of SEL: a tunnel that is in no file, until `down`.',
    'Such letters as for ssh: -p -l -i -J -o -C -4 -6 -b -m; -f -N -T -n -q mean nothing here.',
  ],
  options: [
    timeoutOption,
    nameOption,
    { name: 'accept-new', about: 'this once, trust host keys that are not known yet' },
    { name: 'remap', about: 'where a local port is taken, use a free one near it, until down' },
    { name: 'foreground', about: 'be the supervisor, in this process (containers, systemd)' },
    { ...drainOption, about: 'with --foreground: let connections end for that long at SIGTERM (default 0s)' },
  ],
  examples: [
    ['tunnel up', 'everything with autostart'],
    ['tunnel up db tag:demo', 'one tunnel and all with a tag'],
    ['tunnel up --timeout 5s db || tunnel status db', 'give up waiting soon; it goes on trying'],
    ['tunnel up --remap db', 'on another port when its own is taken; status shows which'],
    ['tunnel up --foreground', 'in a container or a unit'],
    ['tunnel up -L 5432:db:5432 me@bastion', 'as ssh -f -N -L; then tunnel down db-5432, or keep db-5432'],
  ],
};

export const run: Run = async (context, args) => {
  if (args.sshWords.length > 0) return bringAdhoc(context, args);
  if (args.text('name') !== undefined)
    throw usage('tunnel up takes --name only with a forward, -L, -R or -D', { command: 'up --help' });
  if (args.flag('foreground')) return foreground(context, args);
  return bring(context, args, 'up');
};

/** A tunnel that is in no file, until it is taken down. */
async function bringAdhoc(context: Context, args: Args): Promise<number> {
  using interruption = context.interruption();
  const { name, isNew, forget } = await writeAdhoc(context, args, 'up');
  const only = { ...args, words: [name] };
  try {
    if (args.flag('foreground')) {
      interruption.signal.throwIfAborted();
      interruption[Symbol.dispose]();
      return await foreground(context, only);
    }
    const code = await bring(context, only, 'up', { interruption });
    if (isNew && code === 0) tellAdhoc(context, [name]);
    return code;
  } catch (thrown) {
    if (isNew) await forget(); // no supervisor has it
    throw thrown;
  }
}

export interface BringingTerms {
  /** For the time of the command. */
  readonly lease?: Lease;
  /** Of a command that has something to undo: held by that one if this throws, else disposed of as soon as nothing is waited for. */
  readonly interruption?: Interruption;
}

/** `restart` without a supervisor is `up` (SPEC 4). Throws `Interrupted` when that came before anything was asked for. */
export async function bring(
  context: Context,
  args: Args,
  method: 'up' | 'restart',
  terms: BringingTerms = {},
): Promise<number> {
  if (args.text('drain') !== undefined)
    throw usage(`tunnel ${method} takes --drain only with --foreground`, {
      command: `down --drain ${shellWord(args.text('drain') ?? '')}`,
      on: { words: args.words },
      note: 'takes them down',
    });
  const timeoutMs = args.durationMs('timeout', patienceMs);
  const config = await readyConfig(context);
  const interruption = terms.interruption ?? context.interruption();
  using _own = terms.interruption === undefined ? interruption : null;
  const running = await isRunningOrReplaced(context, interruption.signal);
  // A name that is nobody's starts no supervisor; one that runs may know more (tunnels gone from the file).
  if (!running) matchSelectors(args.words, config.resolved.tunnels);
  const offer = createKeepOffer(context, config.resolved);
  const result = await broughtUp({
    context,
    args,
    selectors: args.words,
    config,
    interruption,
    typed: offer.typed,
    timeoutMs,
    method: running ? method : 'up',
    ...(terms.lease === undefined ? {} : { lease: terms.lease }),
  });
  if (typeof result === 'number') return result;
  if (context.interactive && !context.options.json) await offer.make(result.document);
  // Once a supervisor: by the command that started it.
  if (!running && result.document.supervisor.nativeCrypto === false)
    for (const line of missingNativePart()) context.talk(line);
  const { page } = result.document.supervisor;
  if (!running && page != null) context.talk(`the page is at ${page}`);
  for (const note of versionNotes(result.document.supervisor)) context.talk(note);
  return conclude(context, result, config.resolved.tunnels[0]?.name ?? 'NAME');
}

/** The exit code where Ctrl-C ended the waiting. */
async function broughtUp(bringing: Bringing): Promise<UpResult | number> {
  const { context, selectors, interruption } = bringing;
  const { signal } = interruption;
  const result = await withSupervisor(supervisorOf(bringing, signal), async (client) => {
    try {
      return await bringUp(client, bringing);
    } catch (thrown) {
      if (!signal.aborted) throw thrown;
      return ended(context, signal.reason, selectors);
    }
  });
  interruption[Symbol.dispose]();
  return result;
}

function conclude(context: Context, { document, failures }: UpResult, first: string): number {
  if (context.options.json) context.json(document);
  else if (document.tunnels.length === 0) {
    context.talk('nothing to bring up: no tunnel has autostart: true');
    context.talk(['hint: ', { command: 'up', on: { tunnel: first } }]);
  }
  showFailures(context, failures, document.tunnels.length);
  const trying = document.tunnels
    .filter(({ state }) => state === 'retrying' || state === 'connecting')
    .map(({ name }) => name);
  if (trying.length > 0)
    context.talk([
      'the supervisor goes on trying in the background: ',
      { command: 'status', ...meant(trying) },
    ]);
  return worstExitCode(failures.map(({ error }) => error.code));
}

/** A line that names dozens of tunnels says nothing. */
function meant(names: readonly string[]): Pick<HintCommand, 'on' | 'flags'> {
  return names.length > 3 ? { flags: '--problems' } : { on: { words: names } };
}

/** Ctrl-C ends the waiting, not the tunnels, and says so (SPEC 4). */
function ended(context: Context, reason: unknown, words: readonly string[]): number {
  const on = { words };
  context.talk([
    'stopped waiting; what was asked for stays wanted and the supervisor goes on: ',
    { command: 'status', on },
  ]);
  context.talk(['hint: ', { command: 'down', on, note: 'to end it' }]);
  if (reason instanceof Interrupted) return reason.exitCode;
  throw new TunnelError('INTERNAL', 'the waiting ended without a reason', { cause: reason });
}

export async function foreground(context: Context, args: Args): Promise<number> {
  if (args.text('timeout') !== undefined)
    throw usage('tunnel up --foreground waits for nothing, so --timeout has no use with it', {
      command: `wait --timeout ${shellWord(args.text('timeout') ?? '')}`,
      on: { words: args.words },
      note: 'beside it',
    });
  const { path, project } = await readyConfig(context);
  const { superviseHere } = await import('../../daemon/main.ts');
  return superviseHere({
    config: path,
    facts: context.facts,
    stderr: context.stderr,
    verbose: context.options.verbose,
    json: context.options.json,
    project,
    selectors: args.words,
    drainMs: args.durationMs('drain', 0),
    acceptNew: args.flag('accept-new'),
    remap: args.flag('remap'),
  });
}
