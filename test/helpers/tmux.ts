// A terminal for tests: one tmux server a test, on a socket of its own, so that questions are asked as a person sees them.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { temporaryFolder } from './folder.ts';

/** Null when there is a tmux to test with; else why such tests are skipped. */
export function tmuxMissing(): string | null {
  try {
    execFileSync('tmux', ['-V'], { stdio: 'ignore' });
    return null;
  } catch {
    return 'no tmux on this machine';
  }
}

export interface Terminal extends Disposable {
  /** Types text; `Enter`, `C-c` and other key names go through `key`. */
  type(text: string): void;
  key(name: string): void;
  resize(columns: number, rows: number): void;
  /** What stands on the screen and above it, without trailing blanks. */
  screen(): string;
  /** The same with its SGR escapes, and how many of its lines have gone off the top. */
  painted(): { readonly scrolled: number; readonly text: string };
  /** Waits until the screen matches; throws with the screen after 20 s. */
  until(pattern: RegExp): Promise<string>;
}

const patienceMs = 20_000;

/** Runs a shell in a terminal, of 110 x 45 by default, with exactly this environment. */
export function openTerminal(
  env: Readonly<Record<string, string>>,
  { columns, rows }: { readonly columns: number; readonly rows: number } = { columns: 110, rows: 45 },
): Terminal {
  const socket = join(temporaryFolder('tm'), 's');
  const tmux = (...args: string[]): string =>
    execFileSync('tmux', ['-S', socket, '-f', '/dev/null', ...args], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] ?? '', TERM: 'xterm-256color', LANG: 'C.UTF-8' },
    });
  const assignments = Object.entries({ ...env, TERM: 'screen-256color', PS1: '$ ' }).map(
    ([name, value]) => `${name}=${value}`,
  );
  tmux('new-session', '-d', '-x', String(columns), '-y', String(rows), 'env', '-i', ...assignments, 'sh');
  const screen = (): string =>
    tmux('capture-pane', '-p', '-S', '-200')
      .split('\n')
      .map((line) => line.trimEnd())
      .join('\n')
      .trimEnd();
  return {
    type: (text) => void tmux('send-keys', '-l', '--', text),
    key: (name) => void tmux('send-keys', name),
    resize: (width, height) => void tmux('resize-window', '-x', String(width), '-y', String(height)),
    screen,
    painted() {
      const both = tmux(...'display-message -p #{history_size} ; capture-pane -e -p -S -'.split(' '));
      const end = both.indexOf('\n');
      return { scrolled: Number(both.slice(0, end)), text: both.slice(end + 1).trimEnd() };
    },
    async until(pattern) {
      const deadline = Date.now() + patienceMs;
      for (;;) {
        const shown = screen();
        if (pattern.test(shown)) return shown;
        if (Date.now() > deadline) throw new Error(`the screen never showed ${pattern}:\n${shown}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    },
    [Symbol.dispose]() {
      tmux('kill-server');
    },
  };
}
