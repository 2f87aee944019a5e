// What a waiting command waits for, said once it has waited for a while: on a terminal a few lines that are redrawn in
// place, elsewhere each of them once.
import type { UpProgress } from '../control/protocol.ts';
import type { StatusDocument, TunnelStatus } from '../model/status.ts';
import { cut } from '../render/screen.ts';
import { count, formatAge, formatMoment } from '../render/units.ts';
import { widthOf, type Context } from '../client/context.ts';
import { cleanText } from '../model/clean.ts';
import { listNames } from '../render/error.ts';

/** Most tunnels are up by then, and nobody has begun to wonder. */
const quietMs = 2_000;
/** How often the supervisor is asked, and how often the spinner turns. */
const askMs = 1_000;
const turnMs = 125;
const spinner = '⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏';

export interface WaitingNoticeParts {
  readonly context: Context;
  readonly timeoutMs: number;
  /** Null where no supervisor answers now. */
  readonly look: () => Promise<StatusDocument | null>;
  /** The command waits for this one. */
  readonly isMeant: (tunnel: TunnelStatus) => boolean;
  /** A question is on the screen, or something is about to be printed. */
  readonly isBusy: () => boolean;
}

export class WaitingNotice {
  readonly #parts: WaitingNoticeParts;
  readonly #decided = new Set<string>();
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #canDraw: boolean;
  readonly #begunMs: number;
  #untilMs: number;
  #waited: readonly TunnelStatus[] = [];
  #drawn = 0;
  #over = false;

  constructor(parts: WaitingNoticeParts) {
    const { context, timeoutMs } = parts;
    this.#parts = parts;
    this.#canDraw = context.stderr.isTTY && context.facts.env['TERM'] !== 'dumb';
    this.#begunMs = context.now();
    this.#untilMs = this.#begunMs + timeoutMs;
    if (!context.options.quiet) this.#timers.push(setTimeout(() => this.#begin(), quietMs));
  }

  /** Before anything else is written: takes the lines away, and hears what is decided. */
  before(progress: UpProgress): void {
    this.#hide();
    if (progress.kind === 'settled') this.#decided.add(progress.tunnel.name);
    this.#waited = this.#waited.filter(({ name }) => !this.#decided.has(name));
  }

  /** Takes the lines away for good. Idempotent. */
  end(): void {
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#hide();
  }

  /** Off a terminal one look is all: a log that repeats itself is read by nobody. */
  #begin(): void {
    void this.#look();
    if (!this.#canDraw) return;
    const asking = setInterval(() => void this.#look(), askMs);
    const turning = setInterval(() => this.#draw(), turnMs);
    this.#timers.push(asking, turning);
  }

  async #look(): Promise<void> {
    const document = await this.#parts.look().catch(() => null); // the command itself tells what is wrong
    this.#waited = (document?.tunnels ?? []).filter(
      (tunnel) =>
        (tunnel.state === 'connecting' || tunnel.state === 'retrying') &&
        this.#parts.isMeant(tunnel) &&
        !this.#decided.has(tunnel.name),
    );
    if (this.#canDraw || this.#over) return;
    for (const line of waitingLines(this.#waited))
      this.#parts.context.talk(`${line}; trying until ${this.#until()}`);
  }

  #until(): string {
    return formatMoment(new Date(this.#untilMs).toISOString(), this.#parts.context.now());
  }

  #draw(): void {
    const { context, isBusy } = this.#parts;
    this.#hide();
    // The clock of the supervisor stands still while somebody is at a question.
    if (isBusy()) this.#untilMs += turnMs;
    if (isBusy() || this.#waited.length === 0) return;
    const now = context.now();
    const turn = spinner.charAt(Math.floor(now / turnMs) % spinner.length);
    const head = `${turn} ${formatAge(now - this.#begunMs)}, until ${this.#until()}  `;
    const lines = waitingLines(this.#waited).map((line, index) =>
      cut((index === 0 ? head : ' '.repeat(head.length)) + line, widthOf(context.stderr) - 1),
    );
    for (const line of lines) context.say(line);
    this.#drawn = lines.length;
  }

  #hide(): void {
    if (this.#drawn > 0) this.#parts.context.stderr.write(`\r\u001b[${this.#drawn}A\u001b[0J`);
    this.#drawn = 0;
  }
}

/** More causes than that are counted. */
const causesShown = 5;

/** Tunnels that a command still waits for, those with one cause in one line. */
export function waitingLines(tunnels: readonly TunnelStatus[]): string[] {
  const causes = new Map<string, string[]>();
  for (const tunnel of tunnels) {
    const what = cleanText(tunnel.error?.message ?? connecting(tunnel));
    causes.set(what, [...(causes.get(what) ?? []), tunnel.name]);
  }
  const lines = [...causes].map(([what, names]) => `${listNames(names)}: ${what}`);
  if (lines.length <= causesShown) return lines;
  return [...lines.slice(0, causesShown), `and ${count(lines.length - causesShown, 'more cause')}`];
}

function connecting({ endpoint, via }: TunnelStatus): string {
  const through = via.length === 0 ? '' : ` through ${listNames(via)}`;
  return `connecting to ${endpoint}${through}`;
}
