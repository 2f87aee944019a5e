// Keys of `tunnel top`: bytes to keys, keys to what they do.
import { describe, expect, test } from 'vitest';
import { press, readKeys, type Action } from '../../src/cli/top-keys.ts';
import type { TunnelStatus } from '../../src/model/status.ts';
import type { TopView } from '../../src/render/top.ts';
import { tunnelStatus } from '../helpers/tunnel-status.ts';

describe('what is typed', () => {
  test.each([
    ['j\u001b[A\u001bOBq', ['j', 'up', 'down', 'q'], ''],
    ['\u001b[5~\u001b[6~\u001b[H\u001b[4~', ['page-up', 'page-down', 'first', 'last'], ''],
    ['\u001b', ['escape'], ''],
    ['a\u001b[', ['a'], '\u001b['],
    ['\u001b[1;', [], '\u001b[1;'],
    ['\u001b[1;5Cx', ['x'], ''],
    ['\r\u007f\u0003\u001a\u0001é日', ['enter', 'backspace', 'interrupt', 'suspend', 'é', '日'], ''],
  ])('%j', (text, keys, rest) => {
    expect(readKeys(text)).toEqual({ keys, rest });
  });
});

const quiet = (name: string, more: Partial<TunnelStatus> = {}): TunnelStatus => {
  const status = tunnelStatus(name, more);
  return { ...status, forwards: status.forwards.map((forward) => ({ ...forward, open: 0, held: 0 })) };
};
const asks = quiet('asks', { state: 'needs-you' });
const shown = [tunnelStatus('busy'), quiet('calm'), asks];
const start: TopView = { chosen: null, filter: '', sort: 'state', mode: { kind: 'look' } };

/** The view and the actions behind a row of keys. */
function typed(keys: readonly string[], from = start): { view: TopView; actions: Action[] } {
  let view = from;
  const actions: Action[] = [];
  for (const key of keys) {
    const pressed = press(view, key, shown);
    view = pressed.view;
    if (pressed.action !== null) actions.push(pressed.action);
  }
  return { view, actions };
}

test.each<[string[], Action[]]>([
  [['u'], [{ kind: 'up', tunnel: 'busy' }]],
  [['d'], []],
  [['d', 'n'], []],
  [['d', 'x', 'd', 'y'], [{ kind: 'down', tunnel: 'busy' }]],
  [['r', 'y'], [{ kind: 'restart', tunnel: 'busy' }]],
  [['j', 'd'], [{ kind: 'down', tunnel: 'calm' }]],
  [['j', 'r'], [{ kind: 'restart', tunnel: 'calm' }]],
  [['G', 'u'], [{ kind: 'answer', tunnel: 'asks' }]],
  [['last', 'a'], [{ kind: 'answer', tunnel: 'asks' }]],
  [['l'], [{ kind: 'log', tunnel: 'busy' }]],
  [['o'], [{ kind: 'open', tunnel: 'busy' }]],
  [
    ['l', 'd', 'u', 'q'],
    [{ kind: 'log', tunnel: 'busy' }, { kind: 'quit' }],
  ],
  [['/', 'q', 'd', 'enter', 'q'], [{ kind: 'quit' }]],
  [['/', 'interrupt'], [{ kind: 'interrupt' }]],
  [
    ['suspend', 'redraw', 'end-of-file'],
    [{ kind: 'suspend' }, { kind: 'redraw' }, { kind: 'quit' }],
  ],
])('%j ask for', (keys, actions) => {
  expect(typed(keys).actions).toEqual(actions);
});

test.each<[string[], Partial<TopView>]>([
  [['j', 'j', 'k'], { chosen: 'calm' }],
  [['up'], { chosen: 'busy' }],
  [['page-down', 'down'], { chosen: 'asks' }],
  [['s', 's'], { sort: 'traffic' }],
  [['s', 's', 's', 's'], { sort: 'state' }],
  [['/', 'a', 'b', 'backspace', 'enter'], { filter: 'a', mode: { kind: 'look' } }],
  [['/', 'a', 'escape'], { filter: '', mode: { kind: 'look' } }],
  [['/', 'a', 'enter', 'escape'], { filter: '' }],
  [['l'], { mode: { kind: 'logs', tunnel: 'busy' } }],
  [['l', 'l'], { mode: { kind: 'look' } }],
])('%j change the view', (keys, view) => {
  expect(typed(keys).view).toMatchObject(view);
});

test('who did something with a tunnel stays on it, wherever its new state sorts it', () => {
  const { view } = typed(['a']);
  const sorted = [asks, quiet('calm'), quiet('busy')];
  expect(press(view, 'd', sorted).action).toEqual({ kind: 'down', tunnel: 'busy' });
  expect(press(start, 'd', sorted).action).toEqual({ kind: 'down', tunnel: 'asks' });
});

test('without a tunnel the keys that are about one do nothing', () => {
  for (const key of ['u', 'd', 'r', 'a', 'l', 'o', 'j']) expect(press(start, key, []).action).toBeNull();
});
