// `tunnel restart`: fresh connections; the ports stay bound. With --supervisor: another supervisor, which goes on with what the old
// one has.
import { bring } from './up.ts';
import {
  anyWords,
  selectorWords,
  timeoutOption,
  usage,
  type Args,
  type CommandSpec,
  type Run,
} from '../command.ts';
import type { Context } from '../../client/context.ts';
import { replacedBy, replaceSupervisor } from '../../client/replace.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';

export const spec: CommandSpec = {
  name: 'restart',
  words: selectorWords,
  takes: anyWords,
  without: 'what is wanted, else what has autostart',
  about: 'dial afresh over a new connection; the ports stay bound',
  options: [
    timeoutOption,
    { name: 'accept-new', about: 'this once, trust host keys that are not known yet' },
    {
      name: 'supervisor',
      about: 'after an update: a supervisor of this version; what runs goes on to its end',
    },
  ],
  examples: [
    ['tunnel restart db', 'after a password or a key changed'],
    ['tunnel restart --supervisor', 'after an update of tunnel: nobody is refused, nothing is cut'],
  ],
};

/** Without a supervisor the same as `up` (SPEC 4). */
export const run: Run = (context, args) =>
  args.flag('supervisor') ? restartSupervisor(context, args) : bring(context, args, 'restart');

async function restartSupervisor(context: Context, args: Args): Promise<number> {
  if (args.words.length > 0)
    throw usage('tunnel restart --supervisor takes no names: it is the supervisor of all tunnels', {
      command: 'restart',
      on: { words: args.words },
      note: 'for fresh connections of these alone',
    });
  const fresh = await replaceSupervisor(context, true);
  if (fresh === null) return bring(context, args, 'restart');
  context.talk(replacedBy(fresh));
  const status = await ask(locateTarget(context), 'status', { selectors: [] });
  const wanted = status?.tunnels.filter((tunnel) => tunnel.wanted).map(({ name }) => name) ?? [];
  if (wanted.length === 0) return 0;
  // Waits for them, and at a terminal answers what their fresh logins ask. What is up for `exec` is wanted no longer than before.
  return bring(context, { ...args, words: wanted }, 'up', { lease: { once: false, probes: false } });
}
