// The log: lines for machines and for people, files that rotate, and nothing in them that is not clean.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { Writable } from 'node:stream';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { logFileNames } from '../../src/model/log-files.ts';
import { openFileLog, openTerminalLog } from '../../src/daemon/log.ts';
import { TunnelError } from '../../src/errors.ts';
import { Secret } from '../../src/model/secret.ts';
import { temporaryFolder } from '../helpers/folder.ts';

describe('the log', () => {
  test('is a JSON line with time, level, event and message, 0600, without secrets or escapes', async () => {
    const path = join(temporaryFolder('log'), 'tunnel.log');
    const log = openFileLog(path, 'info');
    log.write('info', 'login', 'in\u001b[31m red\u001b[0m', {
      tunnel: 'db',
      password: new Secret('hunter2'),
    });
    log.write('debug', 'noise', 'not at this level');
    log.write('error', 'bad', 'it failed', { error: new TunnelError('LINK_LOST', 'gone', { hint: 'h' }) });
    log.last('error', 'bug', 'the end', { link: 'x' });
    await log.close();
    const lines = readFileSync(path, 'utf8').trim().split('\n');
    const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(parsed.toSorted((a, b) => String(a['event']).localeCompare(String(b['event'])))).toMatchObject([
      { level: 'error', event: 'bad', error: { code: 'LINK_LOST', message: 'gone', hint: 'h' } },
      { level: 'error', event: 'bug', message: 'the end', link: 'x' },
      { level: 'info', event: 'login', tunnel: 'db', message: 'in red', password: '[redacted]' },
    ]);
    expect(parsed.every(({ time }) => /^\d{4}-.*Z$/.test(String(time)))).toBe(true);
    expect(lines.join()).not.toContain('hunter2');
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('rotates by size and keeps a few old files under known names', async () => {
    const path = join(temporaryFolder('log'), 'tunnel.log');
    const log = openFileLog(path, 'info');
    const long = 'x'.repeat(200_000);
    for (let line = 0; line < 160; line++) {
      log.write('info', 'fill', long);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await log.close();
    const files = readdirSync(join(path, '..')).map((name) => join(path, '..', name));
    expect(files.length).toBeGreaterThan(1);
    expect(logFileNames(path)).toEqual(expect.arrayContaining(files));
    expect(logFileNames(path).at(-1)).toBe(path);
  });

  test('in the foreground is a line for people', () => {
    let text = '';
    const stream = new Writable({
      write(chunk, _encoding, done) {
        text += String(chunk);
        done();
      },
    });
    const log = openTerminalLog(stream, 'info');
    log.write('warn', 'lost', 'link lost', { tunnel: 'db' });
    log.write('debug', 'noise', 'no');
    expect(text).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d warn {2}db: link lost\n$/);
  });
});
