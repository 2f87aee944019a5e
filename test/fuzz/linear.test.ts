// Inputs on which a parser once took the square of their length, or more: each is answered in its words. A pattern that goes
// back over such a text would not come to its end within the life of the test.
import { expect, test } from 'vitest';
import { parseFile } from '../../src/config/parse.ts';
import { lineProblem } from '../../src/config/ssh-config/keywords.ts';
import { readConfigLines, type ConfigLine } from '../../src/config/ssh-config/lines.ts';
import { jumpProblem, milliseconds } from '../../src/config/ssh-config/settings.ts';

const repeats = 200_000;
/** YAML takes a while by itself. */
const keys = 20_000;
const messages = (text: string): string[] =>
  parseFile('/x/tunnels.yaml', text).issues.map(({ message }) => message);
const problem = (line: string): string | null => {
  const [read] = readConfigLines(line);
  return read !== undefined && 'words' in read ? lineProblem(read as ConfigLine, null) : 'faulty';
};

test('a config of one line that says one key again and again is told a hundred times', () => {
  const told = messages(`{${'a: 1, '.repeat(keys)}}`);
  expect(told.filter((each) => each === 'stands here twice')).toHaveLength(100);
});

test('a config of one long line with a fault is told of the fault', () => {
  expect(messages(`a: {${'::'.repeat(repeats)}`)).toHaveLength(1);
});

test('a config of more aliases than anyone writes is refused', () => {
  const told = messages(`a: &a 1\nb: [${'*a, '.repeat(keys)}]`);
  expect(told).toContain('stands for too much: its aliases repeat each other');
});

test('a time in ssh_config of many digits that is none is no time', () => {
  const digits = '1'.repeat(repeats);
  expect(milliseconds(`${digits}x`)).toBeUndefined();
  expect(problem(`ConnectTimeout ${digits}x`)).toMatch(/must be a time/);
});

test('a line of ssh_config full of blanks has its words', () => {
  const [line] = readConfigLines(`Host a${' '.repeat(repeats)}b`);
  expect(line).toMatchObject({ words: ['a', 'b'] });
});

test('a jump of many ats and brackets is none', () => {
  expect(jumpProblem('a@['.repeat(repeats))).toMatch(/ProxyJump must be/);
});
