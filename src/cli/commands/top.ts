// `tunnel top`: a live screen for people who would rather look, with keys for what commands do.
import { exitCodeOf, type HintCommand } from '../../errors.ts';
import { Interrupted, type Context } from '../../client/context.ts';
import { locateTarget } from '../../client/supervisor.ts';
import { hintLines } from '../../render/error.ts';
import { anyWords, selectorWords, usage, type Args, type CommandSpec, type Run } from '../command.ts';
import { complainOf } from '../context.ts';
import { TopScreen } from '../top-screen.ts';
import { openTunnel } from './open.ts';
import { bring } from './up.ts';

export const spec: CommandSpec = {
  name: 'top',
  words: selectorWords,
  takes: anyWords,
  about: 'a live screen: tunnels, their traffic, and who is connected',
  more: [
    'Arrows (or j, k) choose a tunnel; its connections are shown with the local program behind each.',
    'u brings it up, r restarts it, d takes it down, a answers a question that waits, l shows its log,',
    'o opens what its open: names, as `open` would.',
    '/ filters by name, tag, host or state, s sorts by state, name, traffic or latency, q ends the screen.',
    'Off a terminal, and where TERM is dumb, there is `tunnel status --watch`.',
  ],
  options: [],
  examples: [
    ['tunnel top', 'everything'],
    ['tunnel top tag:prod', 'some of it'],
  ],
};

export const run: Run = async (context, args) => {
  needScreen(context, args);
  const screen = new TopScreen(context, locateTarget(context), args.words);
  for (;;) {
    const leaving = await screen.show();
    if (leaving.kind === 'over') return leaving.code;
    const { code, said } = await (leaving.kind === 'open' ? opening : upping)(context, leaving.tunnel);
    if (endings.includes(code)) return code;
    screen.say(said);
  }
};

/** By SIGHUP and by SIGTERM: they mean the screen too. */
const endings: readonly number[] = [129, 143];

function needScreen({ stdin, stdout, facts, options }: Context, { words }: Args): void {
  const hint = { command: 'status --watch', on: { words }, ...(options.json ? { flags: '--json' } : {}) };
  if (options.json) throw usage('tunnel top is a screen for people, and has no --json', hint);
  if (facts.env['TERM'] === 'dumb') throw usage('tunnel top needs a terminal that can move its cursor', hint);
  if (!stdin.isTTY || !stdout.isTTY) throw usage('tunnel top needs a terminal', hint);
}

const plainArgs = (words: readonly string[]): Args => ({
  words,
  behind: [],
  sshWords: [],
  typed: [],
  flag: () => false,
  text: () => undefined,
  durationMs: (_, otherwise) => otherwise,
});

/** `said` is for the screen: there it can be read. */
interface Conversation {
  readonly code: number;
  readonly said: string | null;
}

/** `tunnel up NAME`, as it is without a screen: it asks what must be asked. */
const upping = (context: Context, tunnel: string): Promise<Conversation> =>
  converse(context, { command: 'up', on: { tunnel } }, async () => {
    const code = await bring(context, plainArgs([tunnel]), 'up');
    return { code, said: code === 0 ? `${tunnel} is up` : `${tunnel} is not up` };
  });

/** `tunnel open NAME`, the same. */
const opening = (context: Context, tunnel: string): Promise<Conversation> =>
  converse(context, { command: 'open', on: { tunnel } }, async () => {
    const opened = await openTunnel(context, plainArgs([tunnel]));
    if ('code' in opened) return { code: opened.code, said: `${tunnel} is not up` };
    const { url } = opened;
    return { code: 0, said: opened.opened ? `opened ${url}` : `there is no desktop here to open ${url}` };
  });

async function converse(
  context: Context,
  command: HintCommand,
  talk: () => Promise<Conversation>,
): Promise<Conversation> {
  context.talk(['', command]);
  try {
    return await talk();
  } catch (thrown) {
    if (thrown instanceof Interrupted) return { code: thrown.exitCode, said: null };
    const { code, message, hint } = complainOf(context, thrown);
    const hints = hintLines(hint, context.options.config).map((line) => `hint: ${line}`);
    return { code: exitCodeOf(code), said: [message, ...hints].join('\n') };
  }
}
