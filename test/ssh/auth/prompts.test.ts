// What a server's question wants, by its words: the prompts of real modules, and what they tell in front of them.
import { describe, expect, test } from 'vitest';
import { readPrompt, type Wanted } from '../../../src/ssh/auth/prompts.ts';
import { cpuMs } from '../../helpers/cpu-time.ts';

describe('a prompt', () => {
  test.each<[string, Wanted]>([
    ['Password: ', 'password'],
    ["root@box's password: ", 'password'],
    ['Passwort: ', 'password'],
    ['Mot de passe : ', 'password'],
    ['パスワード: ', 'password'],
    ['Current password: ', 'old-password'],
    ['(current) UNIX password: ', 'old-password'],
    ['New password: ', 'new-password'],
    ['Retype new password: ', 'new-password'],
    ['Verification code: ', 'code'],
    ['Enter PIN: ', 'code'],
    ['Enter PASSCODE: ', 'code'],
    ["One-time password (OATH) for `root': ", 'code'],
    ['Passcode or option (1-2): ', 'code'],
    ['Duo two-factor login', 'code'],
    ['Response to the token: ', 'code'],
    ['Password & verification code: ', 'password-and-code'],
    ['Password + OTP: ', 'password-and-code'],
    ['Enter your password followed by your token code: ', 'password-and-code'],
    ['Password (or passcode): ', 'code'],
    ['Spinning wheel: ', 'unknown'],
    ['', 'unknown'],
  ])('%j wants: %s', (prompt, wants) => {
    expect(readPrompt(prompt).wants).toBe(wants);
  });

  test('is its last line; what stands above is told, and decides nothing', () => {
    expect(
      readPrompt(
        'You are required to change your password.\nChanging password for root.\nCurrent password: ',
      ),
    ).toEqual({
      before: 'You are required to change your password.\nChanging password for root.',
      text: 'Current password:',
      wants: 'old-password',
    });
    expect(readPrompt('New: codes beside your password\n\n\tPassword:\n')).toEqual({
      before: 'New: codes beside your password',
      text: 'Password:',
      wants: 'password',
    });
  });

  test('that says nothing in its last line is that and the line above', () => {
    expect(readPrompt('Welcome\r\nPassword\r\n : ')).toMatchObject({ before: 'Welcome', text: 'Password :' });
    expect(readPrompt('\u001b[2J: \n\n')).toEqual({ before: '', text: ':', wants: 'unknown' });
    expect(readPrompt('\n \n').text).toBe('Answer');
  });

  test('is one line of a bearable length, and no blanks push its end away', () => {
    expect(readPrompt(`Code${' '.repeat(300)}Passphrase for ~/.ssh/id_ed25519: `).text).toBe(
      'Code Passphrase for ~/.ssh/id_ed25519:',
    );
    expect(readPrompt('\u2800'.repeat(9)).text).toBe('Answer');
    expect(Array.from(readPrompt('日'.repeat(17_000)).text)).toHaveLength(202);
  });

  test('over 125,000 lines that say nothing is found as quickly as any', () => {
    expect(cpuMs(() => readPrompt(`Password:${'\n-'.repeat(125_000)}`))).toBeLessThan(3000);
    expect(readPrompt(`Password:${'\n-'.repeat(125_000)}`).text).toMatch(/^Password: - - .* …$/);
    expect(readPrompt('-\n'.repeat(125_000)).wants).toBe('unknown');
  });

  test('under many lines is still the last one', () => {
    const { before, text } = readPrompt(`${'line\n'.repeat(100)}Password: `);
    expect(text).toBe('Password:');
    expect(before.split('\n')).toHaveLength(40);
  });
});
