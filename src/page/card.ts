// The card of one tunnel: made once, then kept true, so that focus and what somebody has selected stay where they are.
import type { PastState, PageTunnel, Sample } from '../model/page.ts';
import { failedProbe, type ForwardStatus } from '../model/status.ts';
import { formatAge, formatBytes, formatLatency, formatWait } from '../render/units.ts';
import { element, fill, say } from './elements.ts';
import { createPlot, createStrip, latencyWords, ratesOf } from './plot.ts';

/** All that the page knows of a tunnel. */
export interface Shown {
  readonly tunnel: PageTunnel;
  readonly samples: readonly Sample[];
  readonly history: readonly PastState[];
}

export interface Card {
  readonly item: HTMLLIElement;
  /** Something has changed. */
  show(shown: Shown, nowMs: number): void;
  /** Time has passed. */
  tick(nowMs: number): void;
}

/** One in words: a tunnel that serves but whose target does not is not well. */
export function stateWords({ state, forwards }: PageTunnel): string {
  const failed = state === 'up' ? failedProbe({ state, forwards }) : null;
  if (failed !== null) return `up, but ${failed.text}`;
  return state === 'needs-you' ? 'needs you' : state;
}

export function createCard(name: string): Card {
  const title = element('h2', '', name);
  const state = element('span', 'state');
  const since = element('span', 'since');
  const head = element('div', 'head', title, state, since);
  const way = element('p', 'way');
  const why = createWhy();
  const forwards = createForwards(name);
  const drawings = createDrawings();
  const item = element('li', 'card', head, way, why.box, forwards.list, drawings.box);
  title.id = `tunnel-${name}`;
  item.setAttribute('aria-labelledby', title.id);
  let last: Shown | null = null;
  const tick = (nowMs: number): void => {
    if (last === null) return;
    const { tunnel } = last;
    say(
      since,
      tunnel.since === null ? '' : `for ${formatAge(Math.max(0, nowMs - Date.parse(tunnel.since)))}`,
    );
    why.tick(tunnel, nowMs);
  };
  return {
    item,
    tick,
    show(shown, nowMs) {
      const { tunnel } = shown;
      item.className = `card ${tunnel.state}${stateWords(tunnel).startsWith('up, but') ? ' ailing' : ''}`;
      say(state, stateWords(tunnel) + (tunnel.orphan ? ' (no longer in the file)' : ''));
      const via = tunnel.via.length === 0 ? '' : ` via ${tunnel.via.join(', ')}`;
      say(way, [`${tunnel.endpoint}${via}`, ...tunnel.tags.map((tag) => `#${tag}`)].join('  '));
      if (last?.tunnel !== tunnel) {
        why.show(tunnel);
        forwards.show(tunnel);
      }
      last = shown;
      drawings.show(shown, nowMs);
      tick(nowMs);
    },
  };
}

/** Why it is not up, when it is tried next, and what to do. */
function createWhy() {
  const reason = element('p');
  const next = element('p');
  const hint = element('code');
  const toDo = element('p', '', 'hint: ', hint, ' ');
  const box = element('div', 'why', reason, next, toDo);
  let copy: HTMLButtonElement | null = null;
  return {
    box,
    /** A question that waits is an error too, which says who asks: a server's words are never taken for ours. */
    show({ error }: PageTunnel): void {
      const text = error?.message ?? '';
      const command = hintText(error?.hint);
      box.hidden = text === '' && command === '';
      say(reason, text);
      toDo.hidden = command === '';
      if (hint.textContent === command) return;
      say(hint, command);
      copy?.remove();
      copy = copyButton(command.split('    # ')[0] ?? command, 'the command');
      toDo.append(copy);
    },
    tick({ retryAt }: PageTunnel, nowMs: number): void {
      next.hidden = retryAt === null;
      if (retryAt !== null) say(next, `next try in ${formatWait(Date.parse(retryAt) - nowMs)}`);
    },
  };
}

/** The supervisor gives hints as texts. */
function hintText(hint: unknown): string {
  return typeof hint === 'string' ? hint : '';
}

function copyButton(text: string, what: string): HTMLButtonElement {
  const button = element('button', '', 'Copy');
  button.type = 'button';
  button.setAttribute('aria-label', `Copy ${what}`);
  button.addEventListener('click', () => {
    const done = (word: string): void => {
      say(button, word);
      setTimeout(() => say(button, 'Copy'), 1500);
    };
    navigator.clipboard.writeText(text).then(
      () => done('Copied'),
      () => done('Not allowed'),
    );
  });
  return button;
}

function createForwards(tunnel: string) {
  const list = element('ul', 'forwards');
  list.setAttribute('aria-label', `Forwards of ${tunnel}`);
  let rows: readonly Row[] = [];
  let shape = '';
  return {
    list,
    show({ forwards, open }: PageTunnel): void {
      const now = JSON.stringify([
        open,
        ...forwards.map(({ listen, target, type }) => [listen, target, type]),
      ]);
      if (now !== shape) {
        rows = forwards.map((forward, index) => createRow(forward, index === 0 ? open : null));
        fill(list, ...rows.map(({ item }) => item));
      }
      shape = now;
      forwards.forEach((forward, index) => rows[index]?.show(forward));
    },
  };
}

interface Row {
  readonly item: HTMLLIElement;
  show(forward: ForwardStatus): void;
}

function createRow({ name, type, listen, target }: ForwardStatus, open: string | null): Row {
  const where = type === 'remote' ? ' on the server' : '';
  const to = type === 'dynamic' || target === '*' ? 'any target' : target;
  const label = name === null ? '' : `${name}: `;
  const item = element('li', '', element('span', '', label, element('code', '', listen), `${where} → ${to}`));
  item.append(copyButton(listen, `the address ${listen}`));
  if (open !== null) {
    const link = element('a', 'open', 'Open');
    link.href = open;
    link.rel = 'noreferrer';
    link.target = '_blank';
    link.title = open;
    link.setAttribute('aria-label', `Open ${open}`);
    item.append(link);
  }
  const counts = element('span', 'counts');
  const fault = element('span', 'fault');
  item.append(counts, fault);
  return {
    item,
    show(forward) {
      say(counts, countsOf(forward).join(' · '));
      say(fault, forward.error?.message ?? '');
      fault.hidden = forward.error === null;
    },
  };
}

function countsOf({
  open,
  held,
  failed,
  bytesIn,
  bytesOut,
  exposed,
  probe,
}: ForwardStatus): readonly string[] {
  return [
    `${open} open`,
    ...(held > 0 ? [`${held} held`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
    `${formatBytes(bytesIn)} in`,
    `${formatBytes(bytesOut)} out`,
    ...(exposed ? ['open to other machines'] : []),
    ...(probe === null ? [] : [probe.text]),
  ];
}

function createDrawings() {
  const throughput = createPlot();
  const latency = createPlot();
  const strip = createStrip();
  const [rateIn, rateOut, most] = [element('span', 'key-in'), element('span', 'key-out'), element('span')];
  const [now, longest, day] = [element('span'), element('span'), element('span')];
  const plots = element(
    'div',
    'plots',
    element('figure', '', throughput.svg, element('figcaption', '', rateIn, rateOut, most)),
    element('figure', '', latency.svg, element('figcaption', '', now, longest)),
  );
  const past = element('figure', '', strip.svg, element('figcaption', '', day));
  const box = element('div', 'drawings', plots, past);
  return {
    box,
    show({ tunnel, samples, history }: Shown, nowMs: number): void {
      const isStill = samples.every(([inRate, outRate, ms]) => !inRate && !outRate && ms === null);
      plots.hidden = tunnel.state === 'down' || isStill;
      const top = throughput.draw([
        { className: 'in', values: samples.map(([inRate]) => inRate) },
        { className: 'out', values: samples.map(([, outRate]) => outRate) },
      ]);
      const rates = ratesOf(samples, top);
      throughput.svg.setAttribute('aria-label', rates.words);
      say(rateIn, `in ${rates.now.in}`);
      say(rateOut, `out ${rates.now.out}`);
      say(most, `max ${formatBytes(top)}/s`);
      const slowest = latency.draw([{ className: 'ms', values: samples.map(([, , ms]) => ms) }]);
      latency.svg.setAttribute('aria-label', latencyWords(samples, slowest));
      say(
        now,
        `round trip ${tunnel.latencyMs === null ? 'not known' : `${formatLatency(tunnel.latencyMs)} ms`}`,
      );
      say(longest, `max ${formatLatency(slowest)} ms`);
      say(day, strip.draw(history, nowMs));
      past.hidden = history.length === 0;
    },
  };
}
