// `status --watch`: the status kept in sight, redrawn when it changes; with --json one document a line.
import { visibleText } from '../model/clean.ts';
import { documentText, hintText } from '../render/error.ts';
import { setTimeout as pause } from 'node:timers/promises';
import type { StatusDocument } from '../model/status.ts';
import { enterScreen, leaveScreen, redraw, withFoot } from '../render/screen.ts';
import { summaryLine, supervisorNotes } from '../render/status.ts';
import { Interrupted, type Context } from '../client/context.ts';
import { statusWithout } from '../client/no-supervisor.ts';
import { onlyProblems, statusLines, type StatusChoice } from './show-status.ts';
import { ask, locateTarget, type Target } from '../client/supervisor.ts';

/** How soon a supervisor that is not there is looked for again. */
const lookAgainMs = 500;

export async function watch(context: Context, { selectors, problems }: StatusChoice): Promise<number> {
  const target = locateTarget(context);
  using interruption = context.untilUnread();
  using view = openView(context);
  const show = (document: StatusDocument): void => view.show(problems ? onlyProblems(document) : document);
  try {
    for (;;) {
      await follow(context, target, selectors, { signal: interruption.signal, onProgress: show });
      await pause(lookAgainMs, undefined, { signal: interruption.signal });
    }
  } catch (thrown) {
    if (interruption.signal.aborted && interruption.signal.reason instanceof Interrupted)
      return interruption.signal.reason.exitCode;
    throw thrown;
  }
}

/** Shows snapshots until the supervisor ends; without one the config's tunnels, which are down. */
async function follow(
  context: Context,
  target: Target,
  selectors: readonly string[],
  terms: { readonly signal: AbortSignal; readonly onProgress: (document: StatusDocument) => void },
): Promise<void> {
  await ask(target, 'watch', { selectors }, terms);
  terms.signal.throwIfAborted();
  terms.onProgress(await statusWithout(context, target, selectors));
}

interface View extends Disposable {
  readonly show: (document: StatusDocument) => void;
}

function openView(context: Context): View {
  if (context.options.json) {
    let last = '';
    return {
      show(document) {
        const line = documentText(document);
        if (line !== last) context.out(line);
        last = line;
      },
      [Symbol.dispose]: () => undefined,
    };
  }
  const canDraw = context.stdout.isTTY && context.facts.env['TERM'] !== 'dumb';
  return canDraw ? openScreen(context) : openLog(context);
}

/** Off a terminal: the whole table anew, each time something but an age changed. */
function openLog(context: Context): View {
  let last = '';
  return {
    show(document) {
      const lines = statusLines(context, document);
      const text = JSON.stringify(
        document.tunnels.map(({ state, error, forwards }) => [state, error, forwards]),
      );
      if (text !== last) for (const line of ['', ...lines].slice(last === '' ? 1 : 0)) context.out(line);
      last = text;
    },
    [Symbol.dispose]: () => undefined,
  };
}

function openScreen(context: Context): View {
  const { stdout } = context;
  let document: StatusDocument | null = null;
  let shown: readonly string[] = [];
  const draw = (): void => {
    if (document === null) return;
    const foot = [
      '',
      summaryLine(document),
      ...supervisorNotes(document).map((note) => hintText(note)),
      context.paint.dim('Ctrl-C ends the view'),
    ];
    const size = { rows: stdout.rows, columns: stdout.columns };
    const lines = withFoot(statusLines(context, document, { sum: false }), foot, size.rows).map(visibleText);
    stdout.write(redraw(shown, lines, size));
    shown = lines;
  };
  const resized = (): void => {
    shown = [];
    stdout.write('\u001b[2J');
    draw();
  };
  stdout.write(enterScreen);
  stdout.on('resize', resized);
  const ticking = setInterval(draw, 1000); // ages and next tries go on without a change
  return {
    show(next) {
      document = next;
      draw();
    },
    [Symbol.dispose]() {
      clearInterval(ticking);
      stdout.off('resize', resized);
      stdout.write(leaveScreen);
    },
  };
}
