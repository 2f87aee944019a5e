// keyboard-interactive and password changes: rounds, codes, hostile texts, and what is kept of what was typed.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AuthContext, Client, Connection, KeyboardAuthContext, PasswordAuthContext } from 'ssh2';
import { describe, expect, test, vi } from 'vitest';
import { systemClock, type Clock } from '../../../src/model/clock.ts';
import type { SecretRef } from '../../../src/model/secret.ts';
import { Secret } from '../../../src/model/secret.ts';
import { createCredentials } from '../../../src/ssh/auth/credentials.ts';
import { spentInMemory } from '../../../src/ssh/auth/kept.ts';
import { parseTotp, totpCode } from '../../../src/secrets/totp.ts';
import { startAuthServer } from '../../helpers/auth-server.ts';
import { temporaryFolder } from '../../helpers/folder.ts';
import { bareHost, logIn, testParts } from '../../helpers/login.ts';

const folder = temporaryFolder('kbd');
let counter = 0;
function stored(value: string): SecretRef {
  const path = join(folder, `secret${(counter += 1)}`);
  writeFileSync(path, value, { mode: 0o600 });
  return { from: 'file', path };
}

/** Asks round after round; `check` decides on all answers. */
function asking(
  rounds: readonly { prompt: string; echo: boolean }[][],
  check: (answers: readonly string[]) => boolean,
  words: { name?: string; instruction?: string } = {},
): (context: AuthContext) => void {
  return (context) => {
    if (context.method !== 'keyboard-interactive') return context.reject(['keyboard-interactive']);
    const keyboard = context as KeyboardAuthContext;
    const answers: string[] = [];
    const ask = (round: number): void => {
      const prompts = rounds[round];
      if (prompts === undefined) {
        if (check(answers)) keyboard.accept();
        else keyboard.reject(['keyboard-interactive']);
        return;
      }
      keyboard.prompt(prompts, words.name ?? '', words.instruction ?? '', (given) => {
        if (!Array.isArray(given)) return; // an error: the client went on to something else
        answers.push(...given);
        ask(round + 1);
      });
    };
    ask(0);
  };
}

const hidden = (prompt: string): { prompt: string; echo: boolean } => ({ prompt, echo: false });
const shown = (prompt: string): { prompt: string; echo: boolean } => ({ prompt, echo: true });

describe('keyboard-interactive', () => {
  test('asks every prompt of every round, as the server’s, with its echo', async () => {
    const rounds = [[hidden('Password: '), shown('Device (1 push, 2 sms): ')], [], [hidden('Code: ')]];
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking(rounds, (answers) => answers.join() === 'pw,1,123456', { instruction: 'Welcome' }),
    );
    const { error, asked, record, banners } = await logIn(bareHost(server.port), {
      answers: ['pw', '1', '123456'],
    });
    expect(error).toBeNull();
    expect(asked.map(({ kind, text, echo, fromServer }) => [kind, text, echo, fromServer])).toEqual([
      ['password', 'Password:', false, true],
      ['prompt', 'Device (1 push, 2 sms):', true, true],
      ['prompt', 'Code:', false, true],
    ]);
    expect(asked.map(({ tries }) => tries)).toEqual([0, 0, 0]);
    expect(record).toEqual({ accepted: ['keyboard-interactive'], attended: true });
    expect(banners).toContain('Welcome');
    expect(server.requests).toEqual(['keyboard-interactive']);
  });

  test('answers password and code from their sources, unattended, and never sends a code twice', async () => {
    const seed = 'JBSWY3DPEHPK3PXP';
    const used = new Set<string>();
    let now = 1_700_000_000_000;
    const clock: Clock = {
      ...systemClock,
      now: () => now,
      schedule(delayMs: number, task: () => void) {
        if (delayMs > 30_000) return () => undefined;
        now += delayMs;
        queueMicrotask(task);
        return () => undefined;
      },
    };
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[hidden('Password: '), hidden('Verification code: ')]], ([password, code]) => {
        const fresh = code !== undefined && !used.has(code);
        used.add(code ?? '');
        return password === 'pw' && fresh && code === totpCode(parseTotp(new Secret(seed)), now).code;
      }),
    );
    const host = bareHost(server.port, { password: stored('pw'), totp: stored(seed) });
    const credentials = createCredentials(testParts({ clock }));
    const first = await logIn(host, {}, credentials);
    expect(first.error).toBeNull();
    expect(first.record).toEqual({ accepted: ['keyboard-interactive'], attended: false });
    expect((await logIn(host, {}, credentials)).error).toBeNull();
    expect(used.size).toBe(2);
  });

  test('tells what it waits for, and takes no code for a connection that has ended meanwhile', async () => {
    const seed = new Secret('otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&period=3600');
    const now = 1_700_000_000_000;
    let timers = 0;
    let connections: Connection[] = [];
    const clock: Clock = {
      ...systemClock,
      now: () => now,
      schedule() {
        timers += 1;
        connections.at(-1)?.end(); // as LoginGraceTime ends it, while the code is waited for
        return () => void (timers -= 1);
      },
    };
    await using server = await startAuthServer(['keyboard-interactive'], (context, connection) => {
      connections = [...connections, connection];
      asking([[hidden('Code: ')]], () => true)(context);
    });
    const spentCodes = spentInMemory();
    const logged: string[] = [];
    const log = (level: string, event: string): void => void logged.push(`${level} ${event}`);
    const credentials = createCredentials(testParts({ clock, spentCodes, log }));
    const host = bareHost(server.port, { totp: stored(seed.reveal()) });
    expect((await logIn(host, {}, credentials)).waits).toEqual([]);
    const cut = await logIn(host, {}, credentials);
    await vi.waitFor(() => expect(cut.waits).toHaveLength(2));
    expect(cut.waits).toEqual([
      expect.stringMatching(/this one-time code was used, the next begins in \d+s$/),
      null,
    ]);
    expect(logged).toContain('info code-wait');
    expect(timers).toBe(0);
    const next = totpCode(parseTotp(seed), now).step + 1;
    expect(spentCodes.take(parseTotp(seed), next)).toBe(true);
  });

  test('one login after the other is at its code, and one that has left the queue begins nothing', async () => {
    const answers: (() => void)[] = [];
    await using server = await startAuthServer(['keyboard-interactive'], (context) => {
      (context as KeyboardAuthContext).prompt([hidden('Code: ')], () => {
        answers.push(() => context.accept());
      });
    });
    const seed = stored('otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&period=1');
    const host = bareHost(server.port, { totp: seed });
    let queued = 0;
    const log = (_level: string, _event: string, message: string): void => {
      if (message.includes('another login there')) queued += 1;
    };
    const credentials = createCredentials(testParts({ log }));
    const clients: Client[] = [];
    const first = logIn(host, {}, credentials);
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    const second = logIn(host, { touch: (client) => clients.push(client) }, credentials);
    await vi.waitFor(() => expect(queued).toBe(1));
    clients[0]?.end();
    expect((await second).error).not.toBeNull();
    const third = logIn(host, {}, credentials);
    await vi.waitFor(() => expect(queued).toBe(2));
    answers[0]?.();
    expect((await first).error).toBeNull();
    await vi.waitFor(() => expect(answers).toHaveLength(2), 5_000);
    answers[1]?.();
    const { error, waits } = await third;
    expect(error).toBeNull();
    expect(waits.slice(0, 2)).toEqual([expect.stringContaining('another login there'), null]);
    expect(server.requests).toHaveLength(2);
  });

  test('gives a stored password to one hidden prompt, once', async () => {
    const seen: string[] = [];
    await using server = await startAuthServer(['keyboard-interactive', 'password'], (context) => {
      if (context.method === 'password') {
        seen.push((context as PasswordAuthContext).password);
        return context.reject(['keyboard-interactive', 'password']);
      }
      return asking([[hidden('Secret: '), hidden('And another: ')]], (answers) => {
        seen.push(...answers);
        return false;
      })(context);
    });
    const { error } = await logIn(bareHost(server.port, { password: stored('pw') }));
    expect(error?.code).toBe('SECRET_MISSING');
    expect(seen).toEqual(['pw']);
    seen.length = 0;
    const person = await logIn(bareHost(server.port, { password: stored('pw') }), {
      answers: ({ kind }) => (kind === 'prompt' ? 'other' : null),
    });
    expect(person.error?.code).toBe('AUTH_REFUSED');
    expect(seen.filter((answer) => answer === 'pw')).toHaveLength(1);
  });

  test('gives one of two that are kept to a conversation, and an accepted one only to who asks for a password', async () => {
    const seen: string[][] = [];
    let prompts = [hidden('Password: ')];
    let right = 'typed';
    await using server = await startAuthServer(['keyboard-interactive'], (context) =>
      asking([prompts], (answers) => {
        seen.push([...answers]);
        return answers.length === 1 && answers[0] === right;
      })(context),
    );
    const credentials = createCredentials(testParts());
    const host = bareHost(server.port, { password: stored('source') });
    expect((await logIn(host, { answers: ['typed'] }, credentials)).error).toBeNull();
    expect(seen.splice(0)).toEqual([['source'], ['typed']]);
    // one is remembered, the other in its source: a second prompt is none of theirs
    prompts = [hidden('Password: '), hidden('Password: ')];
    expect((await logIn(host, {}, credentials)).error?.code).toBe('SECRET_MISSING');
    expect(seen).toEqual([]);

    right = 'nothing';
    prompts = [hidden('Memorable word: ')];
    await using second = await startAuthServer(['password', 'keyboard-interactive'], (context) => {
      if (context.method === 'password') return context.reject(['keyboard-interactive'], true);
      asking([prompts], (answers) => seen.push([...answers]) < 0)(context);
    });
    const auth = ['password', 'keyboard-interactive'] as const;
    const both = await logIn(bareHost(second.port, { auth, password: stored('source') }));
    expect(both.error).toMatchObject({ code: 'SECRET_MISSING', facts: { text: 'Memorable word:' } });
    expect(seen).toEqual([]);
  });

  test('does not give a password to a prompt that wants a code', async () => {
    const seen: string[] = [];
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[hidden('One-time password code: ')]], (answers) => {
        seen.push(...answers);
        return false;
      }),
    );
    const { error } = await logIn(bareHost(server.port, { password: stored('pw') }));
    expect(error).toMatchObject({
      code: 'SECRET_MISSING',
      facts: { question: 'prompt', text: 'One-time password code:' },
    });
    expect(seen).toEqual([]);
  });

  test('cleans what a hostile server asks and says', async () => {
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[hidden('\u001b[2J\u001b]0;owned\u0007Pass\u202eword\r\n: ')]], () => true, {
        name: '\u001b[31mroot\u0000',
      }),
    );
    const { asked, banners } = await logIn(bareHost(server.port), { answers: ['x'] });
    expect(asked[0]?.text).toBe('Password :');
    expect(banners).toEqual(['root']);
  });

  test('asks for a new password that the server wants, never gives it the old one, and keeps it', async () => {
    const rounds = [
      [hidden('Current password: ')],
      [hidden('New password: '), hidden('Retype new password: ')],
    ];
    let current = 'old';
    await using server = await startAuthServer(['keyboard-interactive'], (context) =>
      current === 'old'
        ? asking(rounds, ([old, fresh, again]) => {
            if (old !== 'old' || fresh !== again) return false;
            current = fresh ?? '';
            return true;
          })(context)
        : asking([[hidden('Password: ')]], ([answer]) => answer === current)(context),
    );
    const credentials = createCredentials(testParts());
    const host = bareHost(server.port, { password: stored('old') });
    const first = await logIn(host, { answers: ['new1', 'new1'] }, credentials);
    expect(first.error).toBeNull();
    expect(first.asked.map(({ kind, tries }) => [kind, tries])).toEqual([
      ['password', 0],
      ['password', 0],
    ]);
    expect((await logIn(host, {}, credentials)).error).toBeNull();
  });

  test('keeps a typed password, but no typed code', async () => {
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[hidden('Password: '), hidden('Code: ')]], (answers) => answers.join() === 'pw,1'),
    );
    const credentials = createCredentials(testParts());
    const host = bareHost(server.port);
    await logIn(host, { answers: ['pw', '1'] }, credentials);
    const second = await logIn(host, { answers: ['1'] }, credentials);
    expect(second.error).toBeNull();
    expect(second.asked.map(({ text }) => text)).toEqual(['Code:']);
  });

  test('ends when a person declines, and when a server asks without end', async () => {
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[shown('Token: ')]], () => true),
    );
    const declined = await logIn(bareHost(server.port), { answers: [null] });
    expect(declined.error?.code).toBe('AUTH_REFUSED');
    expect(declined.asked).toHaveLength(1);
    const endless = Array.from({ length: 100 }, () => [shown('More? ')]);
    await using other = await startAuthServer(
      ['keyboard-interactive'],
      asking(endless, () => true),
    );
    const { error } = await logIn(bareHost(other.port), { answers: () => 'yes' });
    expect(error?.code).toBe('AUTH_REFUSED');
  });

  test('a wrong code is asked three times at most', async () => {
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[shown('Token: ')]], () => false),
    );
    const { asked, error } = await logIn(bareHost(server.port), { answers: () => 'no' });
    expect(asked.map(({ tries }) => tries)).toEqual([0, 1, 2]);
    expect(error?.code).toBe('AUTH_REFUSED');
  });

  test('`attended` of the config has the last word', async () => {
    await using server = await startAuthServer(
      ['keyboard-interactive'],
      asking([[]], () => true),
    );
    const pushed = await logIn(bareHost(server.port, { attended: true, password: stored('pw') }));
    expect(pushed.record?.attended).toBe(true);
    await using code = await startAuthServer(
      ['keyboard-interactive'],
      asking([[shown('Token: ')]], () => true),
    );
    const typed = await logIn(bareHost(code.port, { attended: false }), { answers: ['123'] });
    expect(typed.record).toEqual({ accepted: ['keyboard-interactive'], attended: false });
  });
});

describe('a password that must be changed', () => {
  const changing = (context: AuthContext): void => {
    if (context.method !== 'password') return context.reject(['password']);
    const attempt = context as PasswordAuthContext;
    if (attempt.password === 'new1') return attempt.accept();
    if (attempt.password !== 'old') return attempt.reject(['password']);
    attempt.requestChange('Your password has expired.', (fresh) => {
      if (fresh === 'new1') attempt.accept();
      else attempt.reject(['password']);
    });
  };

  test('is asked for twice until both are the same, and kept', async () => {
    await using server = await startAuthServer(['password'], changing);
    const credentials = createCredentials(testParts());
    const host = bareHost(server.port);
    const { error, asked, banners } = await logIn(
      host,
      { answers: ['old', 'new1', 'typo', 'new1', 'new1'] },
      credentials,
    );
    expect(error).toBeNull();
    expect(banners).toEqual(['Your password has expired.']);
    expect(asked.map(({ text }) => text.replace(/ root@\S+?(?=,|$)/, ''))).toEqual([
      'Password for',
      'New password for',
      'New password for, once more',
      'New password for',
      'New password for, once more',
    ]);
    const again = await logIn(host, {}, credentials);
    expect(again.error).toBeNull();
  });

  test('needs a person when nobody is there', async () => {
    await using server = await startAuthServer(['password'], changing);
    const { error } = await logIn(bareHost(server.port, { password: stored('old') }));
    expect(error?.code).toBe('SECRET_MISSING');
    expect(error?.message).toContain('changed');
  });
});

test('no secret is in what a login reports', async () => {
  const logged: string[] = [];
  await using server = await startAuthServer(['keyboard-interactive', 'password'], (context) =>
    context.reject(['keyboard-interactive', 'password']),
  );
  const credentials = createCredentials(testParts({ log: (...line) => logged.push(JSON.stringify(line)) }));
  const { error, steps } = await logIn(
    bareHost(server.port, { password: stored('planted-one') }),
    { answers: () => 'planted-two' },
    credentials,
  );
  const everything = JSON.stringify([error?.message, error?.hint, error?.facts, steps, logged]);
  expect(everything).not.toMatch(/planted/);
});
