// What a command waits for: a line a cause, with what is tried.
import { expect, test } from 'vitest';
import type { TunnelStatus } from '../../src/model/status.ts';
import { waitingLines } from '../../src/cli/waiting-notice.ts';

const tunnel = (name: string, message: string | null, over: Partial<TunnelStatus> = {}): TunnelStatus => ({
  name,
  autostart: true,
  wanted: true,
  state: message === null ? 'connecting' : 'retrying',
  since: null,
  tags: [],
  host: 'katie',
  endpoint: 'me@katie.example.org:22',
  via: [],
  link: null,
  orphan: false,
  reconnects: 0,
  attempt: 0,
  retryAt: null,
  latencyMs: null,
  error: message === null ? null : { code: 'UNREACHABLE', message, hint: null, at: '' },
  lastError: null,
  question: null,
  forwards: [],
  algorithms: null,
  ...over,
});

const lines = (...tunnels: TunnelStatus[]): string[] => waitingLines(tunnels);

test('one line a cause', () => {
  expect(
    lines(
      tunnel('a', 'katie:22 does not answer'),
      tunnel('b', null),
      tunnel('c', 'katie:22 does not answer'),
      tunnel('d', null, { via: ['bastion', 'inner'] }),
    ),
  ).toEqual([
    'a and c: katie:22 does not answer',
    'b: connecting to me@katie.example.org:22',
    'd: connecting to me@katie.example.org:22 through bastion and inner',
  ]);
});

test('many causes are counted, many names too, and nothing a server says reaches the terminal as it is', () => {
  const many = Array.from({ length: 8 }, (_, index) => tunnel(`t${index}`, `cause ${index}\u001b[2J`));
  expect(lines(...many)).toHaveLength(6);
  expect(lines(...many).at(-1)).toBe('and 3 more causes');
  expect(lines(...many).join('')).not.toContain('\u001b');
  const one = Array.from({ length: 8 }, (_, index) => tunnel(`t${index}`, 'x'));
  expect(lines(...one)).toEqual(['t0, t1 and 6 more: x']);
});
