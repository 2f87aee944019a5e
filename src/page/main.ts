// The page: hears what the supervisor tells, keeps a card a tunnel, and says when it has lost the supervisor.
import {
  keptSamples,
  sampleMs,
  type PageChanges,
  type PageDocument,
  type PageTunnel,
  type PastState,
  type Sample,
  type WholeTunnel,
} from '../model/page.ts';
import type { SupervisorStatus } from '../model/status.ts';
import { createCard, stateWords, type Card, type Shown } from './card.ts';
import { element, fill, found, say } from './elements.ts';

let shown = new Map<string, Shown>();
const cards = new Map<string, Card>();
/** The supervisor's clock is ahead of the browser's by so much. */
let aheadMs = 0;
let version: string | null = null;
const now = (): number => Date.now() + aheadMs;

function took(document: PageDocument): void {
  shown = new Map(
    document.tunnels.map(({ samples, history, ...tunnel }: WholeTunnel) => [
      tunnel.name,
      { tunnel, samples, history },
    ]),
  );
  heard(document.at, document.supervisor);
  for (const name of shown.keys()) cards.get(name)?.show(shown.get(name) as Shown, now());
  arrange();
}

function tookChanges({ at, supervisor, names, sampledAt, tunnels }: PageChanges): void {
  const news: string[] = [];
  const isSampled = sampledAt !== undefined;
  const before = shown;
  const told = new Map(tunnels.map((tunnel) => [tunnel.name, tunnel]));
  const order = names ?? [...before.keys()];
  shown = new Map();
  for (const name of order) {
    const old = before.get(name);
    const fresh = told.get(name);
    const tunnel = fresh ?? old?.tunnel;
    if (tunnel === undefined) continue;
    if (old !== undefined && old.tunnel.state !== tunnel.state) news.push(`${name}: ${stateWords(tunnel)}`);
    const samples = isSampled ? withSample(old?.samples ?? [], fresh?.sample) : (old?.samples ?? []);
    shown.set(name, { tunnel, samples, history: withState(old, tunnel) });
  }
  heard(at, supervisor);
  for (const [name, each] of shown) if (isSampled || told.has(name)) cards.get(name)?.show(each, now());
  arrange();
  if (news.length > 0) say(found('news'), news.slice(0, 5).join(', '));
}

/** Without one of its own a tunnel has the same as before. */
function withSample(samples: readonly Sample[], sample: Sample | undefined): readonly Sample[] {
  return [...samples, sample ?? samples.at(-1) ?? ([null, null, null] as const)].slice(-keptSamples);
}

function withState(old: Shown | undefined, tunnel: PageTunnel): readonly PastState[] {
  const history = old?.history ?? [];
  if (old !== undefined && old.tunnel.state === tunnel.state) return history;
  const message = tunnel.error?.message ?? null;
  return [...history, { at: new Date(now()).toISOString(), to: tunnel.state, message }].slice(-500);
}

function heard(at: string, supervisor: SupervisorStatus): void {
  aheadMs = Date.parse(at) - Date.now();
  // Another program may have another page.
  if (version !== null && supervisor.version !== version) location.reload();
  version = supervisor.version;
  const notes = [supervisor.configError, supervisor.metricsError].filter((note) => typeof note === 'string');
  found('notes').hidden = notes.length === 0;
  say(found('notes'), notes.join(' '));
  say(
    found('about'),
    `Plots: the last ten minutes. Strips: the last 24 hours. ${supervisor.config ?? ''} · supervisor ${supervisor.version ?? ''}, pid ${supervisor.pid ?? ''}`,
  );
}

/** What does not serve although it is wanted comes first, and what is down last, each in the order of the file. */
function arrange(): void {
  const rank = ({ tunnel }: Shown): number => {
    if (tunnel.state === 'down') return 3;
    if (tunnel.state === 'needs-you') return 0;
    return tunnel.state === 'up' || tunnel.state === 'asleep' ? 2 : 1;
  };
  const all = [...shown].toSorted(([, a], [, b]) => rank(a) - rank(b));
  for (const [name, card] of cards) {
    if (shown.has(name)) continue;
    card.item.remove();
    cards.delete(name);
  }
  const items = all.map(([name, each]) => {
    const card = cards.get(name) ?? createCard(name);
    if (!cards.has(name)) card.show(each, now());
    cards.set(name, card);
    return card.item;
  });
  const list = found('tunnels');
  const isSame =
    items.length === list.children.length && items.every((item, at) => list.children[at] === item);
  if (!isSame) placed(list, items);
  found('empty').hidden = items.length > 0;
  summarize();
}

/** Moves only what is out of place: what has the focus keeps it where it can. */
function placed(list: Element, items: readonly Element[]): void {
  const focused = document.activeElement;
  items.forEach((item, at) => {
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
  });
  if (focused instanceof HTMLElement && document.activeElement !== focused) focused.focus();
}

function summarize(): void {
  const counts = new Map<string, number>();
  for (const { tunnel } of shown.values()) {
    const words = tunnel.state === 'needs-you' ? 'needs you' : tunnel.state;
    counts.set(words, (counts.get(words) ?? 0) + 1);
  }
  say(found('summary'), [...counts].map(([state, many]) => `${many} ${state}`).join(' · '));
  const up = counts.get('up') ?? 0;
  const troubled = [...shown.values()].filter(({ tunnel }) =>
    ['needs-you', 'retrying'].includes(tunnel.state),
  );
  document.title = troubled.length > 0 ? `${troubled.length} not up – Tunnels` : `${up} up – Tunnels`;
}

const retryMs = 2000;
/** Every sample is an event: two that do not come mean that nobody is there. */
const silenceMs = 3 * sampleMs;
let silence: ReturnType<typeof setTimeout> | undefined;
let isLost = false;

function connect(): void {
  const source = new EventSource('events');
  const hear = <T>(name: string, take: (told: T) => void): void =>
    source.addEventListener(name, (event: MessageEvent<string>) => {
      take(JSON.parse(event.data) as T);
      live();
      clearTimeout(silence);
      silence = setTimeout(again, silenceMs);
    });
  const again = (): void => {
    source.close();
    clearTimeout(silence);
    void lost();
    setTimeout(connect, retryMs);
  };
  hear<PageDocument>('document', took);
  hear<PageChanges>('changes', tookChanges);
  source.addEventListener('error', again);
  clearTimeout(silence);
  silence = setTimeout(again, silenceMs);
}

function live(): void {
  if (isLost || found('link').textContent !== 'live') say(found('link'), 'live');
  isLost = false;
  document.body.classList.remove('lost');
}

async function lost(): Promise<void> {
  const signal = AbortSignal.timeout(retryMs); // one that stands still does not refuse
  const answer = await fetch('events', { method: 'HEAD', signal }).catch(() => null);
  if (answer?.ok === true) return; // it is there, and is asked again in a moment
  const isFull = answer?.status === 503;
  if (isLost && !isFull) return;
  const at = new Date().toLocaleTimeString();
  const why = isFull
    ? 'This page is open in too many windows. Close one, and this one goes on.'
    : `Lost the supervisor at ${at}. What you see is from then; it comes back by itself.`;
  if (!isFull) isLost = true;
  // Said once: a screen reader reads out what changes here.
  if (found('link').textContent !== why) fill(found('link'), element('strong', '', why));
  document.body.classList.add('lost');
}

setInterval(() => {
  if (document.body.classList.contains('lost')) return;
  for (const card of cards.values()) card.tick(now());
}, 1000);

connect();
