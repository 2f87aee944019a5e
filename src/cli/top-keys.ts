// Keys of `tunnel top`: from the bytes of a terminal to keys, and what a key does to the view or asks to be done. Pure.
import type { TunnelStatus } from '../model/status.ts';
import { chosenTunnel, topSorts, type TopView } from '../render/top.ts';

/** A character as it is typed, or the name of a key that has none. */
export type Key = string;

const named: Readonly<Record<string, Key>> = {
  '\r': 'enter',
  '\n': 'enter',
  '\u007f': 'backspace',
  '\b': 'backspace',
  '\u0003': 'interrupt',
  '\u0004': 'end-of-file',
  '\u001a': 'suspend',
  '\u000c': 'redraw',
};

/** What stands behind ESC [ or ESC O, of xterm, the Linux console and tmux. */
const sequences: Readonly<Record<string, Key>> = {
  A: 'up',
  B: 'down',
  H: 'first',
  F: 'last',
  '1~': 'first',
  '4~': 'last',
  '7~': 'first',
  '8~': 'last',
  '5~': 'page-up',
  '6~': 'page-down',
};

/** The keys in what was read, and the begin of a sequence that goes on with the next read. */
export function readKeys(text: string): { readonly keys: readonly Key[]; readonly rest: string } {
  const keys: Key[] = [];
  let left = text;
  while (left !== '') {
    // eslint-disable-next-line no-control-regex -- the escape is what is looked for
    const sequence = /^\u001b[[O]([0-9;]*[@-~])?/.exec(left);
    if (sequence !== null && sequence[1] === undefined && /^[0-9;]*$/.test(left.slice(2)))
      return { keys, rest: left };
    const [character = ''] = left;
    const key = sequence === null ? keyOf(character) : sequences[sequence[1] ?? ''];
    if (key !== undefined) keys.push(key);
    left = left.slice(sequence?.[0].length ?? character.length);
  }
  return { keys, rest: '' };
}

function keyOf(character: string): Key | undefined {
  if (character === '\u001b') return 'escape';
  return named[character] ?? (character >= ' ' ? character : undefined);
}

/** What a key asks of the program. */
export type Action =
  | { readonly kind: 'quit' | 'interrupt' | 'suspend' | 'redraw' }
  | { readonly kind: 'up' | 'restart' | 'down' | 'answer' | 'log' | 'open'; readonly tunnel: string };

export interface Pressed {
  readonly view: TopView;
  readonly action: Action | null;
}

const page = 10;

/** `shown`: the tunnels as they stand on the screen. */
export function press(view: TopView, key: Key, shown: readonly TunnelStatus[]): Pressed {
  if (key === 'interrupt' || key === 'suspend' || key === 'redraw') return { view, action: { kind: key } };
  if (key === 'end-of-file') return { view, action: { kind: 'quit' } };
  switch (view.mode.kind) {
    case 'look':
      return look(view, key, shown);
    case 'filter':
      return { view: filtering(view, key), action: null };
    case 'logs':
      if (key === 'q') return { view, action: { kind: 'quit' } };
      return { view: key === 'l' || key === 'escape' ? { ...view, mode: looking } : view, action: null };
    case 'sure': {
      const { act, tunnel } = view.mode;
      const action = key === 'y' || key === 'Y' ? { kind: act, tunnel } : null;
      return { view: { ...view, mode: looking }, action };
    }
  }
}

const looking = { kind: 'look' } as const;

function look(view: TopView, key: Key, shown: readonly TunnelStatus[]): Pressed {
  const moved = move(view, key, shown);
  if (moved !== null) return { view: moved, action: null };
  const changed = (change: Partial<TopView>): Pressed => ({ view: { ...view, ...change }, action: null });
  switch (key) {
    case 'q':
      return { view, action: { kind: 'quit' } };
    case '/':
      return changed({ mode: { kind: 'filter' } });
    case 'escape':
      return changed({ filter: '' });
    case 's':
      return changed({ sort: topSorts[(topSorts.indexOf(view.sort) + 1) % topSorts.length] ?? 'state' });
  }
  const chosen = chosenTunnel(shown, view);
  if (chosen === null) return { view, action: null };
  // Whoever did something with a tunnel stays on it, wherever its new state sorts it: the next key is meant for it, too.
  return onTunnel({ ...view, chosen: chosen.name }, key, chosen);
}

function onTunnel(view: TopView, key: Key, tunnel: TunnelStatus): Pressed {
  const { name } = tunnel;
  const act = (kind: 'up' | 'restart' | 'down' | 'answer' | 'open'): Pressed => ({
    view,
    action: { kind, tunnel: name },
  });
  const cuts = tunnel.forwards.some(({ open, held }) => open + held > 0);
  const surely = (kind: 'restart' | 'down'): Pressed =>
    cuts ? { view: { ...view, mode: { kind: 'sure', act: kind, tunnel: name } }, action: null } : act(kind);
  switch (key) {
    case 'u':
      return act(tunnel.state === 'needs-you' || tunnel.question !== null ? 'answer' : 'up');
    case 'a':
      return act('answer');
    case 'o':
      return act('open');
    case 'r':
      return surely('restart');
    case 'd':
      return surely('down');
    case 'l':
    case 'enter':
      return {
        view: { ...view, mode: { kind: 'logs', tunnel: name } },
        action: { kind: 'log', tunnel: name },
      };
  }
  return { view, action: null };
}

const steps: Readonly<Record<string, number>> = {
  up: -1,
  k: -1,
  down: 1,
  j: 1,
  'page-up': -page,
  'page-down': page,
  first: -Infinity,
  g: -Infinity,
  last: Infinity,
  G: Infinity,
};

/** Another one is chosen; null for a key that moves nothing. */
function move(view: TopView, key: Key, shown: readonly TunnelStatus[]): TopView | null {
  const step = steps[key];
  if (step === undefined) return null;
  const chosen = chosenTunnel(shown, view);
  const at = chosen === null ? 0 : shown.indexOf(chosen);
  const next = shown[Math.max(0, Math.min(shown.length - 1, at + step))];
  return { ...view, chosen: next?.name ?? null };
}

function filtering(view: TopView, key: Key): TopView {
  if (key === 'enter') return { ...view, mode: looking };
  if (key === 'escape') return { ...view, filter: '', mode: looking };
  if (key === 'backspace') return { ...view, filter: Array.from(view.filter).slice(0, -1).join('') };
  return Array.from(key).length === 1 ? { ...view, filter: view.filter + key } : view;
}
