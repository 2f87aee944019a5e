// The words of the questions (SPEC 7) and what counts as a yes.
import { describe, expect, test } from 'vitest';
import { PassThrough } from 'node:stream';
import { addressOf, createPrompter, introduceKey, readTrust, secretPrompt } from '../../src/cli/prompt.ts';
import { plain } from '../../src/render/color.ts';
import { displayWidth } from '../../src/render/width.ts';
import type { PendingQuestion } from '../../src/model/question.ts';

const fingerprint = 'SHA256:q3Vx1b0gkZ8Lr5mT2cYwE7uNf4hJp9sDaK6oQiXzRtM';
const question = (over: Partial<PendingQuestion>): PendingQuestion => ({
  id: 'q1',
  link: 'l1',
  kind: 'passphrase',
  host: 'katie',
  endpoint: 'me@katie.example.org:22',
  text: 'Passphrase for ~/.ssh/id_ed25519',
  echo: false,
  fingerprint: null,
  keyType: null,
  randomart: [],
  fromServer: false,
  tries: 0,
  ...over,
});

describe('questions', () => {
  test('a new host key is introduced as in SPEC 7', () => {
    const lines = introduceKey(
      question({ keyType: 'ssh-ed25519', fingerprint, randomart: ['+---+', '|  .|'] }),
    );
    expect(lines).toEqual([
      'katie.example.org:22 is new here. Its ed25519 key:',
      `  ${fingerprint}`,
      '  +---+',
      '  |  .|',
    ]);
  });

  test('only yes or the very fingerprint is a yes', () => {
    expect(readTrust('yes', fingerprint)).toEqual({ kind: 'yes', value: 'yes' });
    expect(readTrust(` ${fingerprint.slice(7)}= `, fingerprint)).toEqual({ kind: 'yes', value: fingerprint });
    expect(readTrust('', fingerprint)).toEqual({ kind: 'no' });
    expect(readTrust('No', fingerprint)).toEqual({ kind: 'no' });
    expect(readTrust('y', fingerprint).kind).toBe('again');
    expect(readTrust(`SHA256:${'A'.repeat(43)}`, fingerprint).kind).toBe('again');
  });

  test('our own questions say that the answer is kept, a repeated one that it was wrong', () => {
    expect(secretPrompt(question({}))).toEqual([
      'Passphrase for ~/.ssh/id_ed25519 (kept in memory until down): ',
    ]);
    expect(secretPrompt(question({ tries: 1 }))[0]).toMatch(/^Wrong\. Passphrase/);
  });

  test("a server's question is marked as the server's", () => {
    const asked = question({ kind: 'prompt', fromServer: true, text: 'Verification code: ' });
    expect(secretPrompt(asked)).toEqual(['(me@katie.example.org asks) Verification code: ']);
  });

  test('no row of one that is wider than the terminal looks like ours, however it is filled up', () => {
    const ours = 'Passphrase for ~/.ssh/id_ed25519 (kept in memory until down)';
    for (const filling of [
      ' '.repeat(200),
      '.'.repeat(47),
      '. '.repeat(60),
      '＿'.repeat(30),
      'word '.repeat(9),
    ])
      for (const columns of [40, 80, 81, 200]) {
        const asked = question({ kind: 'prompt', fromServer: true, text: `Code${filling}${ours}` });
        const rows = secretPrompt(asked, columns);
        for (const row of rows) {
          expect(row).toMatch(/^\(me@katie\.example\.org asks\) /);
          expect(displayWidth(row)).toBeLessThanOrEqual(columns === 40 ? 50 : columns);
        }
        expect(rows.at(-1)).toMatch(/: $/);
      }
  });

  test('ours are bold where there is color, and what a server asks never is', async () => {
    const stdin = Object.assign(new PassThrough(), { setRawMode: () => undefined });
    let shown = '';
    const stderr = { write: (text: string) => (shown += text), columns: 110 };
    const talkPaint = { ...plain, bold: (text: string) => `<b>${text}</b>` };
    const parts = { stdin, stderr, talkPaint } as unknown as Parameters<typeof createPrompter>[0];
    const prompter = createPrompter(parts);
    const ask = async (asked: PendingQuestion): Promise<string> => {
      shown = '';
      stdin.write('a\r');
      await prompter.question(asked);
      return shown;
    };
    expect(await ask(question({}))).toContain('<b>Passphrase for');
    const imitation = question({ kind: 'prompt', fromServer: true, text: '<b>Passphrase for x</b>' });
    expect(await ask(imitation)).toMatch(/^\(me@katie\.example\.org asks\)/);
    expect(await ask(question({ kind: 'prompt', fromServer: true, text: 'Passphrase for x' }))).not.toContain(
      '<b>',
    );
  });

  test('an address is the endpoint without its user', () => {
    expect(addressOf('a@b@[::1]:22')).toBe('[::1]:22');
  });
});
