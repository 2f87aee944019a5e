// The precedence of the color switches.
import { describe, expect, test } from 'vitest';
import { colorLevel, paintOf } from '../../src/render/color.ts';

describe('color', () => {
  test.each<[Record<string, string>, boolean, boolean | undefined, number]>([
    [{}, false, undefined, 0],
    [{}, true, undefined, 1],
    [{ TERM: 'xterm-256color' }, true, undefined, 2],
    [{ COLORTERM: 'truecolor' }, true, undefined, 3],
    [{ NO_COLOR: '1' }, true, undefined, 0],
    [{ NO_COLOR: '' }, true, undefined, 1],
    [{ NO_COLOR: '1', FORCE_COLOR: '1' }, true, undefined, 0],
    [{ NO_COLOR: '1' }, false, true, 1],
    [{ FORCE_COLOR: '1' }, true, false, 0],
    [{ FORCE_COLOR: '' }, false, undefined, 1],
    [{ FORCE_COLOR: '3' }, false, undefined, 3],
    [{ FORCE_COLOR: '0' }, true, undefined, 0],
    [{ CLICOLOR_FORCE: '1' }, false, undefined, 1],
    [{ CLICOLOR_FORCE: '0' }, false, undefined, 0],
    [{ CLICOLOR: '0' }, true, undefined, 0],
    [{ CLICOLOR: '0', CLICOLOR_FORCE: '1' }, false, undefined, 1],
    [{ TERM: 'dumb' }, true, undefined, 0],
  ])('%j, terminal %s, option %s: level %d', (env, isTty, option, level) =>
    expect(colorLevel(env, isTty, option)).toBe(level),
  );

  test('level 0 adds nothing, level 1 does', async () => {
    expect((await paintOf(0)).red('x')).toBe('x');
    expect((await paintOf(1)).red('x')).toBe('\u001b[31mx\u001b[39m');
  });
});
