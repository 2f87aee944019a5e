// What a changed config means: tables of old and new.
import { describe, expect, test } from 'vitest';
import { describeChange, diffTunnels } from '../../src/supervisor/diff.ts';
import { hostOf, local, remote, tunnelOf } from '../helpers/fake-world.ts';

const katie = hostOf('katie');

describe('changes of a file', () => {
  const a = tunnelOf('a', [katie], local(1));

  test('a remote port makes a rename only on the same server', () => {
    const old = tunnelOf('old', [katie], remote(8080));
    expect(diffTunnels([old], [tunnelOf('new', [katie], remote(8080))])[0]?.kind).toBe('renamed');
    expect(diffTunnels([old], [tunnelOf('new', [hostOf('other')], remote(8080))])[0]?.kind).toBe('added');
  });

  test('an auto port is nobody’s address', () => {
    const old = tunnelOf('old', [katie], local(0));
    expect(diffTunnels([old], [tunnelOf('new', [katie], local(0))]).map(({ kind }) => kind)).toEqual([
      'added',
      'removed',
    ]);
  });

  test('a name that goes on is never taken for a rename', () => {
    const b = tunnelOf('b', [katie], local(1));
    expect(diffTunnels([a], [a, b]).map(({ kind }) => kind)).toEqual(['unchanged', 'added']);
  });

  test.each([
    [{ hold: { kind: 'refuse' } } as const, 'a: settings changed'],
    [{ forwards: [local(1), local(2)] }, 'a: listens on 127.0.0.1:2'],
    [{ forwards: [remote(3)] }, 'a: the server listens on localhost:3; no longer on 127.0.0.1:1'],
    [{ share: false }, 'a: new connections go over katie, running ones end on the old link'],
  ])('%j reads %s', (more, sentence) => {
    const [change] = diffTunnels([a], [{ ...a, ...more }]);
    expect(change && describeChange(change, true, false)).toBe(sentence);
  });
});
