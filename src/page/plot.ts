// The drawings of a tunnel: throughput and latency of ten minutes, and the strip of a day. Each says in words what it shows.
import { keptSamples, stripMs, type PastState, type Sample } from '../model/page.ts';
import type { TunnelState } from '../model/status.ts';
import { count, formatAge, formatBytes, formatLatency } from '../render/units.ts';
import { drawing, fill } from './elements.ts';

const height = 40;

export interface Plot {
  readonly svg: SVGElement;
  draw(lines: readonly { readonly className: string; readonly values: readonly (number | null)[] }[]): number;
}

/** Answers the highest value. The newest value is at the right edge. */
export function createPlot(): Plot {
  const svg = drawing('svg', {
    class: 'plot',
    role: 'img',
    viewBox: `0 0 ${keptSamples - 1} ${height}`,
    preserveAspectRatio: 'none',
  });
  return {
    svg,
    draw(lines) {
      const top = Math.max(0, ...lines.flatMap(({ values }) => values.map((value) => value ?? 0)));
      const paths = lines.map(({ className, values }) =>
        drawing('path', { class: className, d: pathOf(values, top) }),
      );
      fill(svg, ...paths);
      return top;
    },
  };
}

/** A gap where a value is not known. */
function pathOf(values: readonly (number | null)[], top: number): string {
  let isOn = false;
  const steps = values.flatMap((value, index) => {
    const before = isOn;
    isOn = value !== null;
    if (value === null) return [];
    const x = keptSamples - values.length + index;
    const y = height - 1 - (top === 0 ? 0 : (value / top) * (height - 3));
    return [`${before ? 'L' : 'M'}${x} ${y.toFixed(1)}`];
  });
  return steps.join('');
}

const rate = (bytes: number | null | undefined): string => `${formatBytes(bytes ?? 0)}/s`;

export interface Rates {
  readonly now: { readonly in: string; readonly out: string };
  readonly words: string;
}

export function ratesOf(samples: readonly Sample[], top: number): Rates {
  const [inRate, outRate] = samples.at(-1) ?? [0, 0];
  const now = { in: rate(inRate), out: rate(outRate) };
  const most = top === 0 ? 'nothing moved' : `at most ${rate(top)}`;
  return { now, words: `Throughput of the last ten minutes: now ${now.in} in, ${now.out} out; ${most}` };
}

export function latencyWords(samples: readonly Sample[], top: number): string {
  const now = samples.at(-1)?.[2] ?? null;
  if (now === null) return 'Round trip of the last ten minutes: not known now';
  return `Round trip of the last ten minutes: now ${formatLatency(now)} ms, at most ${formatLatency(top)} ms`;
}

export interface Strip {
  readonly svg: SVGElement;
  /** Answers its words. */
  draw(history: readonly PastState[], nowMs: number): string;
}

interface Span {
  readonly fromMs: number;
  readonly toMs: number;
  readonly to: TunnelState;
  readonly message: string | null;
}

export function createStrip(): Strip {
  const svg = drawing('svg', {
    class: 'strip',
    'aria-hidden': 'true', // its words stand below
    viewBox: '0 0 1440 10',
    preserveAspectRatio: 'none',
  });
  return {
    svg,
    draw(history, nowMs) {
      const spans = spansOf(history, nowMs);
      const x = (ms: number): number => ((ms - (nowMs - stripMs)) / stripMs) * 1440;
      const rects = spans
        .filter(({ to }) => to !== 'down')
        .map((span) => {
          const width = Math.max(2, x(span.toMs) - x(span.fromMs)); // an outage of a second is to be seen
          const rect = drawing('rect', {
            class: span.to,
            x: Math.min(x(span.fromMs), 1440 - width).toFixed(1),
            y: 0,
            width,
            height: 10,
          });
          const title = drawing('title', {});
          title.textContent = spanWords(span);
          rect.append(title);
          return rect;
        });
      // What was short stands on top of what was long.
      fill(
        svg,
        ...rects.toSorted((a, b) => Number(b.getAttribute('width')) - Number(a.getAttribute('width'))),
      );
      return stripWords(spans);
    },
  };
}

function spansOf(history: readonly PastState[], nowMs: number): readonly Span[] {
  const sinceMs = nowMs - stripMs;
  return history.flatMap(({ at, to, message }, index) => {
    const fromMs = Math.max(sinceMs, Date.parse(at));
    const next = history[index + 1];
    const toMs = next === undefined ? nowMs : Date.parse(next.at);
    return toMs <= sinceMs || toMs <= fromMs ? [] : [{ fromMs, toMs, to, message }];
  });
}

function spanWords({ fromMs, toMs, to, message }: Span): string {
  const clock = new Date(fromMs).toLocaleTimeString();
  return `${clock}: ${to} for ${formatAge(toMs - fromMs)}${message === null ? '' : `: ${message}`}`;
}

const isServing = (to: TunnelState): boolean => to === 'up' || to === 'asleep';

/** By the rule of `tunnel history`: away is what is wanted, does not serve, and says why. */
function stripWords(spans: readonly Span[]): string {
  let upMs = 0;
  const outages: number[] = [];
  let stretch = { ms: 0, failed: false };
  const close = (): void => {
    if (stretch.failed) outages.push(stretch.ms);
    stretch = { ms: 0, failed: false };
  };
  for (const { fromMs, toMs, to, message } of spans) {
    const ms = toMs - fromMs;
    if (to === 'connecting' || to === 'retrying' || to === 'needs-you')
      stretch = { ms: stretch.ms + ms, failed: stretch.failed || message !== null };
    else {
      close();
      if (isServing(to)) upMs += ms;
    }
  }
  close();
  const awayMs = outages.reduce((sum, ms) => sum + ms, 0);
  if (spans.every(({ to }) => to === 'down')) return 'not wanted in the last 24 hours';
  const percent = Math.floor((upMs / (upMs + awayMs)) * 10_000) / 100;
  if (outages.length === 0) return 'no outage in the last 24 hours';
  const longest = `longest ${formatAge(Math.max(...outages))}`;
  return `${percent}% up in the last 24 hours, ${count(outages.length, 'outage')}, ${longest}`;
}
