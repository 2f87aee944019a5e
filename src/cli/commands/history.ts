// `tunnel history`: each change of state with its reason, then up-time and outages of each tunnel, whether a supervisor runs or not.
import { readFile, stat } from 'node:fs/promises';
import { knownTunnels } from '../../client/no-supervisor.ts';
import { isRunning, locateTarget } from '../../client/supervisor.ts';
import type { Context } from '../../client/context.ts';
import { matchSelectors } from '../../config/selectors.ts';
import { cleanText } from '../../model/clean.ts';
import { historyOf, keptOf, parseHistory, type HistoryDocument } from '../../model/history.ts';
import { formatAge, formatMoment } from '../../render/units.ts';
import { renderTable } from '../../render/table.ts';
import { shellWord } from '../../model/shell-word.ts';
import { anyWords, selectorWords, usage, type Args, type CommandSpec, type Run } from '../command.ts';

const dayMs = 86_400_000;
const shownDays = 7;

export const spec: CommandSpec = {
  name: 'history',
  words: selectorWords,
  takes: anyWords,
  about: 'when tunnels changed their state and why, their up-time and outages',
  more: [
    'Kept for 90 days, at most 10,000 changes.',
    'Time without a supervisor, and sleep of the machine, are neither up nor an outage.',
  ],
  options: [{ name: 'since', value: 'DURATION', about: 'how far back (default 7d, at most 90d)' }],
  examples: [
    ['tunnel history db', 'the last seven days of one tunnel'],
    ['tunnel history --since 30d --json', 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const nowMs = context.now();
  const sinceMs = nowMs - spanMs(args);
  const target = locateTarget(context);
  const path = target.supervisor.history;
  const alive = (await isRunning(target)) || {
    seenMs: (await stat(path).catch(() => null))?.mtimeMs ?? nowMs,
  };
  const lines = keptOf(parseHistory(await readText(path)), nowMs);
  const named = lines.flatMap((line) => (line.kind === 'change' ? [{ name: line.tunnel, tags: [] }] : []));
  const known = await knownTunnels(context, target, args.words);
  const selected = new Set(matchSelectors(args.words, [...known, ...named]));
  const document = historyOf(lines, { sinceMs, nowMs, alive, takes: (tunnel) => selected.has(tunnel) });
  if (context.options.json) context.json(document);
  else if (document.summary.length === 0) context.talk('nothing has changed in that time');
  else show(context, document);
  return 0;
};

/** Days too, which a duration elsewhere has no use for: 90 of them are longer than a timer can be. */
function spanMs(args: Args): number {
  const written = args.text('since');
  if (written === undefined) return shownDays * dayMs;
  const days = /^(\d{1,2})d$/.exec(written)?.[1];
  if (days === undefined) return args.durationMs('since', 0);
  if (Number(days) <= 90) return Number(days) * dayMs;
  throw usage(`history is kept for 90 days, and ${shellWord(written)} is longer`, {
    command: 'history --since 90d',
    on: { words: args.words },
  });
}

async function readText(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw thrown;
  }
}

function show(context: Context, { changes, summary }: HistoryDocument): void {
  const { paint } = context;
  const rows = changes.map(({ at, tunnel, from, to, message, lastedMs }) => ({
    cells: [
      formatMoment(at, context.now()),
      tunnel,
      from,
      to,
      lastedMs === null ? 'now' : formatAge(lastedMs),
      cleanText(message ?? ''),
    ],
  }));
  const head = ['TIME', 'TUNNEL', 'FROM', 'TO', 'LASTED', 'REASON'];
  if (rows.length > 0) renderTable(head, rows, paint).forEach((line) => context.out(line));
  if (rows.length > 0) context.out('');
  const sums = summary.map(({ tunnel, upPercent, outages, longestMs }) => ({
    cells: [
      tunnel,
      upPercent === null ? '-' : `${upPercent}%`,
      String(outages),
      outages === 0 ? '-' : formatAge(longestMs),
    ],
  }));
  renderTable(['TUNNEL', 'UP', 'OUTAGES', 'LONGEST'], sums, paint).forEach((line) => context.out(line));
}
