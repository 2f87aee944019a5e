// `tunnel logs`: reads what the supervisor wrote down, whether one runs or not; -f goes on with what comes, through rotations.
import { Interrupted, type Context } from '../../client/context.ts';
import { shellWord } from '../../model/shell-word.ts';
import { anyWords, selectorWords, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { createLineFilter, followLog, formatLine, parseLine, readLog, type LogLine } from '../log-lines.ts';
import { knownTunnels } from '../../client/no-supervisor.ts';
import { locateTarget } from '../../client/supervisor.ts';

const lastLines = 100;

export const spec: CommandSpec = {
  name: 'logs',
  words: selectorWords,
  takes: anyWords,
  about: 'what the supervisor wrote down, also when none runs',
  options: [
    { name: 'follow', alias: 'f', about: 'go on with what is written from now on' },
    { name: 'lines', alias: 'n', value: 'N', about: 'the last N lines (default 100, all with --since)' },
    { name: 'since', value: 'DURATION', about: 'what is not older than that: 10m' },
  ],
  examples: [
    ['tunnel logs -f db', 'follow one tunnel'],
    ['tunnel logs --since 10m --json', 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const count = lineCount(args);
  const sinceMs = args.text('since') === undefined ? null : context.now() - args.durationMs('since', 0);
  const target = locateTarget(context);
  const filter = createLineFilter(args.words, await knownTunnels(context, target, args.words));
  const lines: LogLine[] = [];
  const collect = (text: string): void => {
    const line = parseLine(text);
    if (line === null || !filter.takes(line)) return;
    if (sinceMs !== null && line.atMs !== null && line.atMs < sinceMs) return;
    lines.push(line);
    if (lines.length > count) lines.shift();
  };
  const position = await readLog(target.supervisor.log, collect);
  filter.check(args.words);
  for (const line of lines) show(context, line);
  if (!args.flag('follow')) {
    if (lines.length === 0) context.talk('nothing has been logged yet');
    return 0;
  }
  using interruption = context.untilUnread();
  try {
    await followLog(target.supervisor.log, position, interruption.signal, (text) => {
      const line = parseLine(text);
      if (line !== null && filter.takes(line)) show(context, line);
    });
    return 0;
  } catch (thrown) {
    const reason: unknown = interruption.signal.reason;
    if (reason instanceof Interrupted) return reason.exitCode;
    throw thrown;
  }
};

function lineCount(args: Args): number {
  const written = args.text('lines');
  if (written === undefined) return args.text('since') === undefined ? lastLines : Infinity;
  if (/^\d{1,9}$/.test(written)) return Number(written);
  throw usage(`--lines needs a number, not ${shellWord(written)}`, {
    command: 'logs -n 100',
    on: { words: args.words },
  });
}

function show(context: Context, line: LogLine): void {
  context.out(context.options.json ? line.text : formatLine(line, context.paint));
}
