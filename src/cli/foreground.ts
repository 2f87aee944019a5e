// `tunnel up --foreground`: the supervisor in this process, for containers and units.
import { superviseHere } from '../daemon/main.ts';
import type { Args } from './command.ts';
import type { Context } from './context.ts';
import { readyConfig } from './ready-config.ts';

export async function foreground(context: Context, args: Args): Promise<number> {
  const { path, project } = await readyConfig(context);
  return superviseHere({
    config: path,
    facts: context.facts,
    stderr: context.stderr,
    verbose: context.options.verbose,
    project,
    selectors: args.words,
    drainMs: args.durationMs('drain', 0),
  });
}
