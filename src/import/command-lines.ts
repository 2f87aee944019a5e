// `ssh -f -N -L …` and autossh, pasted or out of a shell script or a systemd unit. Pure.
import type { Found, FoundTunnel, LeftBehind } from './found.ts';
import { shellCommands, type ShellCommand } from './shell.ts';
import { readSshWords } from './ssh-words.ts';

/** Commands that only print their words. */
const prints = new Set(['echo', 'printf', 'pkill', 'pgrep', 'grep', 'kill', 'which']);

export function readCommandLines(text: string): Found {
  const tunnels: FoundTunnel[] = [];
  const left: LeftBehind[] = [];
  for (const command of shellCommands(text)) readCommand(command, tunnels, left);
  return { tunnels, left };
}

function readCommand({ line, words }: ShellCommand, tunnels: FoundTunnel[], left: LeftBehind[]): void {
  const at = words.findIndex(({ text }) => /(^|\/)(auto)?ssh$/.test(text));
  if (at < 0 || prints.has(words[0]?.text ?? '')) return;
  const program = words[at]?.text.split('/').at(-1) ?? '';
  const behind = words.slice(at + 1);
  const read = readSshWords(
    behind.map(({ text }) => text),
    program === 'autossh' ? 'autossh' : 'script',
  );
  if (read.forwards.length === 0) return;
  const leave = (reason: string): unknown => left.push({ line, reason });
  const used = behind.slice(0, behind.length - read.behind.length);
  const unknown = used.find((word) => word.unknown !== null)?.unknown ?? null;
  if (unknown !== null) leave(`${program}: ${unknown} is known only when it runs: write its value instead`);
  else if (read.problem !== null) leave(`${program}: ${read.problem}`);
  else if (read.host === null) leave(`${program}: it names no server`);
  else {
    tunnels.push({ name: null, line, host: read.host, forwards: read.forwards, settings: read.settings });
    for (const note of read.notes) leave(note);
    const runs = read.behind.map(({ length }) => length).length > 0;
    if (runs) leave(`the command that runs on the server is left out: ${read.behind.join(' ')}`);
  }
}
