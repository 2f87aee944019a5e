// Who uses a link: what they want together, and what their commands brought.
import { describe, expect, test } from 'vitest';
import { LinkUsers, mergeEnvironments, noTerms, riderOf } from '../../src/supervisor/link-users.ts';
import type { Haste, LinkUser } from '../../src/supervisor/link-users.ts';

interface User extends LinkUser {
  now: Haste;
}

function userOf(name: string, policy = { initialMs: 500, maxMs: 30_000 }): User {
  return {
    now: 'none',
    tunnels: () => [name],
    rotateMs: () => null,
    policy: () => policy,
    persons: () => [],
    haste() {
      return this.now;
    },
    terms: () => noTerms,
    environments: () => [],
    changed: () => undefined,
    moved: () => undefined,
    suffered: () => undefined,
  };
}

describe('the users of a link', () => {
  test('wait as the most impatient of them asks for', () => {
    const users = new LinkUsers();
    users.add(userOf('a'));
    users.add(userOf('b', { initialMs: 900, maxMs: 5_000 }));
    expect(users.policy()).toEqual({ initialMs: 500, maxMs: 5_000 });
  });

  test('are in haste as the one in most haste is, until that one leaves', () => {
    const users = new LinkUsers();
    const [a, b] = [userOf('a'), userOf('b')];
    users.add(a);
    users.add(b);
    a.now = 'waiting';
    users.hurried(a);
    b.now = 'held';
    users.hurried(b);
    expect(users.haste()).toBe('held');
    users.delete(b);
    expect(users.haste()).toBe('waiting');
    a.now = 'none';
    users.hurried(a);
    users.hurried(b);
    expect(users.haste()).toBe('none');
  });

  test('are one user of a jump host', () => {
    const users = new LinkUsers();
    const rider = riderOf(
      users,
      () => undefined,
      () => undefined,
    );
    expect(rider.tunnels()).toEqual([]);
    users.add(userOf('a'));
    users.add(userOf('b'));
    users.add(userOf('a'));
    expect(rider.tunnels()).toEqual(['a', 'b']);
  });

  test('the newest variable covers the older, the newest agent comes first, each once', () => {
    const merged = mergeEnvironments([
      { stamp: 1, environment: { variables: { A: 'old', B: 'b' }, agentSockets: ['/1', '/2'] } },
      { stamp: 2, environment: { variables: { A: 'new' }, agentSockets: ['/2', '/3'] } },
    ]);
    expect(merged).toEqual({ variables: { A: 'new', B: 'b' }, agentSockets: ['/2', '/3', '/1'] });
  });
});
