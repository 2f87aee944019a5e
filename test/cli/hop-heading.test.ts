// A hop is introduced by the name its user gave it, and as one of several.
import { describe, expect, test } from 'vitest';
import { hopHeading } from '../../src/cli/hop-heading.ts';
import { formatHop, formatHopLogin, type Way } from '../../src/model/host.ts';
import { hostOf } from '../helpers/ssh-dialer.ts';

const host = (name: string, hostname: string, port = 22): Way[number] =>
  hostOf({ port, user: 'me', identity: '/k' }, { name, hostname });
const bastion = host('bastion', '127.0.0.1', 7201);
const katie = host('katie', 'katie.example.org');

describe('a hop', () => {
  test('is one of several, by its name', () => {
    const asked = { host: 'bastion', endpoint: 'me@127.0.0.1:7201' };
    expect(hopHeading(asked, [[bastion], [bastion, katie]])).toBe(
      'bastion (127.0.0.1:7201), hop 1 of 2, is new here.',
    );
    expect(hopHeading({ host: 'katie', endpoint: 'me@katie.example.org:22' }, [[bastion, katie]])).toBe(
      'katie.example.org:22, hop 2 of 2, is new here.',
    );
  });

  test('that is the only one, or another of that name, is introduced by its address alone', () => {
    expect(hopHeading({ host: 'bastion', endpoint: 'me@127.0.0.1:7201' }, [[bastion]])).toBeUndefined();
    expect(
      hopHeading({ host: 'bastion', endpoint: 'root@127.0.0.1:7201' }, [[bastion, katie]]),
    ).toBeUndefined();
  });

  test.each([
    ['katie', 'katie.example.org', 'katie.example.org:22'],
    ['KATIE', 'katie.example.org', 'katie.example.org:22'],
    ['katie.example.org', 'katie.example.org', 'katie.example.org:22'],
    ['kat', 'katie.example.org', 'kat (katie.example.org:22)'],
    ['box', '::1', 'box ([::1]:22)'],
    ['10.0.0.1', '10.0.0.1', '10.0.0.1:22'],
  ])('%s at %s is named once: %s', (name, hostname, shown) => {
    expect(formatHop(host(name, hostname))).toBe(shown);
    expect(formatHopLogin(host(name, hostname))).toBe(shown.replace(/(^|\()(?=[^(]*$)/, '$1me@'));
  });
});
