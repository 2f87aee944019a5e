// The screen of `tunnel top` on a terminal: keys in, only what changed out; and the keys that bring up, restart and take down.
import { StringDecoder } from 'node:string_decoder';
import { callerEnvironment } from '../model/environment.ts';
import type { ErrorReport } from '../errors.ts';
import { asTunnelError } from '../errors.ts';
import { Interrupted, type Context, type TerminalHold } from '../client/context.ts';
import { ask, type Target } from '../client/supervisor.ts';
import { hintLines } from '../render/error.ts';
import { enterScreen, leaveScreen, redraw } from '../render/screen.ts';
import { chosenTunnel, drawTop, shownTunnels, type TopScene, type TopView } from '../render/top.ts';
import { createLineFilter, followLog, formatLine, parseLine, readLog } from './log-lines.ts';
import { patienceMs } from './bringing.ts';
import { TopFeed } from './top-feed.ts';
import { press, readKeys, type Action, type Key } from './top-keys.ts';

/** Why the screen was left: for good, or for a conversation with the person about a tunnel, perhaps to open what it leads to. */
export type Leaving =
  | { readonly kind: 'over'; readonly code: number }
  | { readonly kind: 'converse' | 'open'; readonly tunnel: string };

/** Lines of a tunnel's log that are kept. */
const mostLog = 500;
const ageMs = 1000;

export class TopScreen {
  readonly #context: Context;
  readonly #target: Target;
  readonly #feed: TopFeed;
  #view: TopView = { chosen: null, filter: '', sort: 'state', mode: { kind: 'look' } };
  #message: string | null = null;
  #log: string[] = [];
  #shown: readonly string[] = [];
  #hold: TerminalHold | null = null;
  /** Between leaving and coming back the terminal is somebody else's. */
  #isOurs = false;
  #leave: (leaving: Leaving) => void = () => undefined;
  #over = new AbortController();
  #logging: AbortController | null = null;
  #rest = '';

  constructor(context: Context, target: Target, selectors: readonly string[]) {
    this.#context = context;
    this.#target = target;
    this.#feed = new TopFeed({
      context,
      target,
      selectors,
      chosen: () => this.#chosen(),
      changed: () => this.#draw(),
    });
  }

  /** Shows it until a key or a signal leaves it; may be called again. Rejects when there is nothing to show. */
  async show(): Promise<Leaving> {
    const { stdin, stdout } = this.#context;
    using interruption = this.#context.untilUnread();
    const over = (this.#over = new AbortController());
    const left = new Promise<Leaving>((resolve) => (this.#leave = resolve));
    interruption.signal.addEventListener('abort', () => {
      const reason: unknown = interruption.signal.reason;
      this.#leave({ kind: 'over', code: reason instanceof Interrupted ? reason.exitCode : 130 });
    });
    const decoder = new StringDecoder('utf8');
    const typed = (chunk: Buffer): void => this.#typed(decoder.write(chunk));
    const hungUp = (): void => this.#leave({ kind: 'over', code: 0 });
    const resized = (): void => this.#redraw();
    stdin.on('data', typed).on('end', hungUp);
    stdout.on('resize', resized);
    const aging = setInterval(() => this.#draw(), ageMs);
    using hold = this.#context.holdTerminal({ take: () => this.#take(), give: () => this.#give() });
    this.#hold = hold;
    try {
      return await Promise.race([left, this.#feed.follow(over.signal)]);
    } finally {
      over.abort();
      clearInterval(aging);
      stdin.off('data', typed).off('end', hungUp);
      stdout.off('resize', resized);
    }
  }

  /** What is said at the foot. */
  say(message: string | null): void {
    this.#message = message;
    this.#draw();
  }

  // The terminal.

  #take(): void {
    const { stdin, stdout } = this.#context;
    stdin.setRawMode(false); // a shell may have changed the modes behind our back
    stdin.setRawMode(true);
    stdin.resume();
    stdout.write(enterScreen);
    this.#isOurs = true;
    this.#shown = [];
    this.#draw();
  }

  #give(): void {
    const { stdin, stdout } = this.#context;
    this.#isOurs = false;
    stdout.write(leaveScreen);
    stdin.setRawMode(false);
    stdin.pause();
  }

  #redraw(): void {
    this.#context.stdout.write('\u001b[2J');
    this.#shown = [];
    this.#draw();
  }

  #scene(): TopScene | null {
    const { document, traffic } = this.#feed;
    if (document === null) return null;
    const chosen = chosenTunnel(shownTunnels({ document, traffic, view: this.#view }), this.#view);
    return {
      document,
      traffic,
      flows: chosen === null ? null : this.#feed.flows(chosen.name),
      view: this.#view,
      message: this.#message,
      log: this.#log,
      trouble: this.#feed.trouble(),
      now: this.#context.now(),
    };
  }

  #draw(): void {
    const scene = this.#isOurs ? this.#scene() : null;
    if (scene === null) return;
    const { stdout, paint, options } = this.#context;
    const { rows, columns } = stdout;
    const { config } = options;
    const frame = { rows, columns, paint, ...(config === undefined ? {} : { config }) };
    const lines = drawTop(scene, frame);
    const changes = redraw(this.#shown, lines, { rows, columns });
    this.#shown = lines;
    if (changes !== '') stdout.write(changes);
  }

  #chosen(): string | null {
    const scene = this.#scene();
    return scene === null ? null : (chosenTunnel(shownTunnels(scene), scene.view)?.name ?? null);
  }

  // The keys.

  #typed(text: string): void {
    const { keys, rest } = readKeys(this.#rest + text);
    this.#rest = rest;
    const before = this.#chosen();
    for (const key of keys) this.#press(key);
    if (this.#chosen() !== before) this.#feed.chose();
    this.#draw();
  }

  #press(key: Key): void {
    this.#message = null;
    const scene = this.#scene();
    const { view, action } = press(this.#view, key, scene === null ? [] : shownTunnels(scene));
    this.#view = view;
    if (view.mode.kind !== 'logs') this.#logging?.abort();
    if (action !== null) this.#act(action);
  }

  #act(action: Action): void {
    switch (action.kind) {
      case 'quit':
        return this.#leave({ kind: 'over', code: 0 });
      case 'interrupt':
        return this.#leave({ kind: 'over', code: 130 });
      case 'suspend':
        return this.#hold?.stop();
      case 'redraw':
        return this.#redraw();
      case 'open': // it may have to come up first, and to ask
        return this.#leave({ kind: 'open', tunnel: action.tunnel });
      case 'answer':
        return this.#leave({ kind: 'converse', tunnel: action.tunnel });
      case 'up':
        // What starts a supervisor may have to ask: whether the file is allowed.
        if (this.#feed.document?.supervisor.running !== true)
          return this.#leave({ kind: 'converse', tunnel: action.tunnel });
        return void this.#change('up', action.tunnel);
      case 'restart':
      case 'down':
        return void this.#change(action.kind, action.tunnel);
      case 'log':
        return void this.#followLog(action.tunnel);
    }
  }

  /** What the command of that name asks of the supervisor; it goes on while the screen does. */
  async #change(method: 'up' | 'restart' | 'down', tunnel: string): Promise<void> {
    const selectors = [tunnel];
    const { signal } = this.#over;
    this.say(
      { up: `${tunnel}: coming up …`, restart: `${tunnel}: restarting …`, down: `${tunnel}: closing …` }[
        method
      ],
    );
    try {
      if (method === 'down') {
        await ask(this.#target, 'down', { selectors, drainMs: 0 }, { signal });
        return this.say(`${tunnel} is down`);
      }
      const environment = callerEnvironment(this.#context.facts.env);
      const terms = { interactive: false, acceptNew: false, remap: false };
      const params = { selectors, timeoutMs: patienceMs, environment, ...terms };
      const result = await ask(this.#target, method, params, { signal });
      const [failure] = result?.failures ?? [];
      if (failure === undefined) this.say(result === null ? 'no supervisor is running' : `${tunnel} is up`);
      else this.say(this.#sentence(tunnel, failure.error));
    } catch (thrown) {
      if (!signal.aborted) this.say(this.#sentence(tunnel, asTunnelError(thrown)));
    }
  }

  #sentence(tunnel: string, { message, hint }: Pick<ErrorReport, 'message' | 'hint'>): string {
    const hints = hintLines(hint, this.#context.options.config).map((line) => `hint: ${line}`);
    return [`${tunnel}: ${message}`, ...hints].join('\n');
  }

  /** The log of a tunnel, and what is added to it, until its page is left. */
  async #followLog(tunnel: string): Promise<void> {
    this.#logging?.abort();
    const logging = (this.#logging = new AbortController());
    const signal = AbortSignal.any([logging.signal, this.#over.signal]);
    const tags = this.#feed.document?.tunnels.find(({ name }) => name === tunnel)?.tags ?? [];
    const filter = createLineFilter([tunnel], [{ name: tunnel, tags }]);
    this.#log = [];
    const take = (text: string): void => {
      const line = parseLine(text);
      if (line === null || signal.aborted || !filter.takes(line)) return;
      this.#log.push(formatLine(line, this.#context.paint));
      if (this.#log.length > mostLog) this.#log.shift();
    };
    const { log } = this.#target.supervisor;
    try {
      const position = await readLog(log, take);
      this.#draw();
      await followLog(log, position, signal, (text) => {
        take(text);
        this.#draw();
      });
    } catch (thrown) {
      if (!signal.aborted) this.say(asTunnelError(thrown).message);
    }
  }
}
