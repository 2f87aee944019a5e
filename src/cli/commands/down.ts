// `tunnel down`: answers when the ports are closed. Without a supervisor everything is down already.
import type { ForwardStatus, StatusDocument, TunnelStatus } from '../../model/status.ts';
import { namedConfig } from '../../paths.ts';
import { renderDownLine } from '../../render/status.ts';
import { forgetAdhoc, readAdhoc } from '../../config/adhoc.ts';
import { matchSelectors, selects } from '../../config/selectors.ts';
import { forgetWanted, readWanted } from '../../control/wanted.ts';
import { anyWords, drainOption, selectorWords, type CommandSpec, type Run } from '../command.ts';
import type { Context } from '../../client/context.ts';
import { statusWithout } from '../../client/no-supervisor.ts';
import { ask, locateTarget, type Target } from '../../client/supervisor.ts';

export const spec: CommandSpec = {
  name: 'down',
  words: selectorWords,
  takes: anyWords,
  about: 'take tunnels down and free their ports',
  more: [
    'Answers when the ports are closed. When nothing is wanted any more the supervisor ends.',
    'Tunnels that `up -L …` made are in no file, so they are gone then.',
  ],
  options: [drainOption],
  examples: [
    ['tunnel down', 'everything'],
    ['tunnel down --drain 10s db', 'let running connections end first'],
  ],
};

export const run: Run = async (context, args) => {
  const report = context.options.json ? 'document' : 'lines';
  await takeDown(context, { selectors: args.words, drainMs: args.durationMs('drain', 0), report });
  return 0;
};

export interface Downing {
  readonly selectors: readonly string[];
  readonly drainMs: number;
  /** What stands on stdout of it. */
  readonly report: 'document' | 'lines' | 'nothing';
}

export async function takeDown(context: Context, downing: Downing): Promise<void> {
  const { selectors, drainMs, report } = downing;
  const target = targetOrNothing(context);
  if (target === null) return;
  const before = await ask(target, 'status', { selectors });
  const result = before === null ? null : await ask(target, 'down', { selectors, drainMs });
  if (before === null || result === null) return downWithout(context, target, downing);
  if (report === 'document') context.json(result.document);
  else if (report === 'lines') showLines(context, before, result.document);
  if (result.ending) context.talk('nothing is wanted any more: supervisor ended');
}

/** Without a config and a supervisor there is nothing to take down; a file that was named must be there, though. */
function targetOrNothing(context: Context): Target | null {
  try {
    return locateTarget(context);
  } catch (thrown) {
    if (namedConfig(context.facts, context.options.config) !== null) throw thrown;
    context.talk('no config and no supervisor: nothing is up');
    return null;
  }
}

/** An orphan is forgotten once it is down: it is told by what it was before. */
function showLines(context: Context, before: StatusDocument, after: StatusDocument): void {
  const now = new Map(after.tunnels.map((tunnel) => [tunnel.name, tunnel]));
  for (const was of before.tunnels) {
    if (was.state === 'down') continue;
    const tunnel: TunnelStatus = now.get(was.name) ?? { ...was, state: 'down' };
    const left = leftBehind(was, tunnel);
    const bound = was.forwards.filter((forward) => forward.bound);
    const stays = (forward: ForwardStatus): boolean => left?.includes(forward.listen) === true;
    const closed = bound.filter((forward) => !stays(forward)).map(({ listen }) => listen);
    const open = bound.filter(stays).map(({ listen }) => listen);
    context.out(renderDownLine(tunnel, { closed, left: open }, context.paint));
    if (left === null) continue;
    context.talk(`${was.name}: ${left}`);
    context.talk([
      'hint: ',
      { command: 'restart', note: 'what is up gets fresh links; the old one takes its listeners with it' },
    ]);
  }
  if (before.tunnels.every(({ state }) => state === 'down')) context.talk('everything was down already');
}

/** What the server would not end, though the tunnel is down here: the link goes on for another one. */
function leftBehind(before: TunnelStatus, { lastError }: TunnelStatus): string | null {
  const isNew = lastError !== null && lastError.at !== before.lastError?.at;
  return isNew && lastError.code === 'FORWARD_REFUSED' ? lastError.message : null;
}

/** Nothing runs, but what one that ended unexpectedly served would come back with the next one. */
async function downWithout(context: Context, target: Target, downing: Downing): Promise<void> {
  const { selectors, report } = downing;
  const marks = readWanted(target.supervisor.wanted, () => undefined).names;
  const meant = await namesMeant(context, target, selectors, marks);
  const forgotten = await forgetWanted(target.supervisor, context.facts.platform, (name) => meant.has(name));
  if (forgotten === null) return takeDown(context, downing); // one has started meanwhile
  if (report === 'document') await showDocument(context, target, selectors);
  await forgetAdhoc(target.supervisor.adhoc, context.facts, [...meant]);
  context.talk('no supervisor is running: everything is down');
  if (forgotten.length > 0)
    context.talk(`the last one ended unexpectedly; ${forgotten.join(', ')} will not be brought back`);
}

/** The file is only looked at for names and tags, and its faults are no matter: what was wanted has its name. */
async function namesMeant(
  context: Context,
  target: Target,
  selectors: readonly string[],
  marks: readonly string[],
): Promise<ReadonlySet<string>> {
  const adhoc = Object.keys(readAdhoc(target.supervisor.adhoc, context.facts));
  if (selectors.length === 0) return new Set([...marks, ...adhoc]);
  const known = await statusWithout(context, target, []).then(
    ({ tunnels }) => tunnels,
    () => null,
  );
  const gone = marks.filter((name) => !known?.some((tunnel) => tunnel.name === name));
  const all = [...(known ?? []), ...gone.map((name) => ({ name, tags: [] }))];
  if (known !== null) return new Set(matchSelectors(selectors, all));
  const meant = all.filter((tunnel) => selectors.some((selector) => selects(selector, tunnel)));
  return new Set(meant.map(({ name }) => name));
}

async function showDocument(context: Context, target: Target, selectors: readonly string[]): Promise<void> {
  const document = await statusWithout(context, target, selectors).catch(() => null);
  if (document !== null) context.json(document);
}
