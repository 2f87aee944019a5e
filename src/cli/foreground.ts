// `tunnel up --foreground`: the supervisor in this process, for containers and units.
import { usage, type Args } from './command.ts';
import type { Context } from '../client/context.ts';
import { readyConfig } from '../client/ready-config.ts';

export async function foreground(context: Context, args: Args): Promise<number> {
  if (args.text('timeout') !== undefined)
    throw usage('tunnel up --foreground waits for nothing, so --timeout has no use with it', {
      command: 'wait --timeout 30s',
      note: 'beside it',
    });
  const { path, project } = await readyConfig(context);
  const { superviseHere } = await import('../daemon/main.ts');
  return superviseHere({
    config: path,
    facts: context.facts,
    stderr: context.stderr,
    verbose: context.options.verbose,
    json: context.options.json,
    project,
    selectors: args.words,
    drainMs: args.durationMs('drain', 0),
    acceptNew: args.flag('accept-new'),
    remap: args.flag('remap'),
  });
}
