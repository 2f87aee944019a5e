// Errors of the system as people read them, and bugs as bugs.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { systemFailure } from '../../src/files/errno.ts';
import { TunnelError } from '../../src/errors.ts';

describe('a failure of the system', () => {
  test('names the file and the reason, and where to look', () => {
    let thrown: unknown;
    try {
      readFileSync('.');
    } catch (error) {
      thrown = Object.assign(error as Error, { path: '/a b/c' });
    }
    expect(systemFailure(thrown, 'logs')).toMatchObject({
      code: 'DAEMON_DOWN',
      message: 'logs failed, on /a b/c: it is a folder',
      hint: "ls -ld '/a b' '/a b/c'",
      cause: thrown,
    });
  });

  test.each([
    new RangeError('a bug'),
    new TunnelError('USAGE', 'x'),
    Object.assign(new Error('gone'), { code: 'ENOENT', path: '/x' }),
    Object.assign(new Error('no path'), { code: 'EACCES' }),
    'text',
  ])('is nothing else: %s', (thrown) => expect(systemFailure(thrown, 'logs')).toBe(thrown));
});
