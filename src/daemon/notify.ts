// Desktop notifications: a tunnel needs its person, who may be in another window. Only with a desktop, and unless off by config.
import { runProgram } from '../files/child.ts';
import { cleanText } from '../model/clean.ts';
import type { Cancel, Clock } from '../model/clock.ts';
import type { TunnelStatus } from '../model/status.ts';

export interface Notifier {
  /** Looks at a snapshot: tells of each tunnel that has come to need a person. */
  look(tunnels: readonly TunnelStatus[], enabled: boolean): void;
}

/** The program of a desktop that shows a notification, or null. `env` must be that of the desktop's session. */
export function notifyCommand(
  platform: NodeJS.Platform,
  env: Readonly<Record<string, string | undefined>>,
  title: string,
  text: string,
): readonly [string, ...string[]] | null {
  if (platform === 'darwin') {
    const quote = (words: string): string => `"${words.replace(/[\\"]/g, '\\$&')}"`;
    return ['/usr/bin/osascript', '-e', `display notification ${quote(text)} with title ${quote(title)}`];
  }
  if (platform === 'win32' || env['DBUS_SESSION_BUS_ADDRESS'] === undefined) return null;
  return ['notify-send', '--app-name=tunnel', '--', title, text];
}

export function createNotifier(show: (title: string, text: string) => void): Notifier {
  let told = new Set<string>();
  return {
    look(tunnels, enabled) {
      // One notification a cause: ten tunnels behind one locked key are one matter.
      const waiting = tunnels.filter(({ state }) => state === 'needs-you');
      const causes = new Map(waiting.map((tunnel) => [`${tunnel.link} ${tunnel.error?.code}`, tunnel]));
      for (const [cause, tunnel] of causes) {
        if (!enabled || told.has(cause)) continue;
        const others = waiting.length > 1 ? ` (and ${waiting.length - 1} more)` : '';
        // The error says who asks; a question's text alone may be a server's, and would look like ours.
        const why = cleanText(tunnel.error?.message ?? tunnel.question?.text ?? '').slice(0, 200);
        show(`${tunnel.name}${others} needs you`, `${why}\ntunnel up ${tunnel.name}`);
      }
      told = new Set(causes.keys());
    },
  };
}

/** Shows a notification by the desktop's own program; a desktop that cannot is no trouble of ours. */
export function showOnDesktop(
  platform: NodeJS.Platform,
  env: Readonly<Record<string, string | undefined>>,
): (title: string, text: string) => void {
  return (title, text) => {
    const argv = notifyCommand(platform, env, title, text);
    if (argv === null) return;
    void runProgram(argv, { env, deadlineMs: 10_000, outputLimitBytes: 64 * 1024 });
  };
}

/** Changes come with every connection that is carried; whether a person is needed is looked at this seldom. */
const lookEveryMs = 1000;

/** Looks whether a person is needed, soon after something has changed. */
export class NoticeWatch {
  /** False: `notify: false` stands in the file. */
  wanted = true;
  readonly #notifier: Notifier;
  readonly #clock: Clock;
  readonly #statuses: () => readonly TunnelStatus[];
  #cancel: Cancel | null = null;

  constructor(notifier: Notifier, clock: Clock, statuses: () => readonly TunnelStatus[]) {
    this.#notifier = notifier;
    this.#clock = clock;
    this.#statuses = statuses;
  }

  changed(): void {
    this.#cancel ??= this.#clock.schedule(lookEveryMs, () => {
      this.#cancel = null;
      this.#notifier.look(this.#statuses(), this.wanted);
    });
  }

  stop(): void {
    this.#cancel?.();
  }
}
