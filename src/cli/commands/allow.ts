// `tunnel allow`: says what the project file of this folder does, asks whoever is there, and lets it be used as it is now.
import { allow as remember, consentDigest, isAllowed } from '../../config/consent.ts';
import { readDeclared } from '../../config/load.ts';
import { findConfig, shortPath } from '../../config/locate.ts';
import { TunnelError } from '../../errors.ts';
import { noWords, type Args, type CommandSpec, type Run } from '../command.ts';
import { Interrupted, type Context } from '../../client/context.ts';
import { summaryLines, unwritable } from '../../client/ready-config.ts';

export const spec: CommandSpec = {
  name: 'allow',
  words: '',
  takes: noWords,
  about: 'allow the ./tunnels.yaml of this folder to be used',
  more: ['Shows what the file does and asks; off a terminal it does not ask.'],
  options: [{ name: 'yes', alias: 'y', about: 'allow it without asking' }],
  examples: [['tunnel allow', 'read what it does, say yes']],
};

export const run: Run = async (context, args) => {
  const { path } = findConfig(context.places, context.facts, context.options.config);
  const declared = readDeclared(path, context.facts);
  const digest = consentDigest(declared);
  const shown = shortPath(path, context.facts);
  const { stateDir } = context.places;
  context.talk(shown);
  for (const line of summaryLines(declared)) context.talk(line);
  if (!isAllowed(stateDir, path, digest) && !(await agreed(context, args)))
    throw new TunnelError('CONFIG_NOT_ALLOWED', `${shown} is not allowed`, { hint: 'tunnel allow' });
  try {
    await remember(stateDir, path, digest, context.now());
  } catch (thrown) {
    throw unwritable(stateDir, thrown);
  }
  context.out(`${shown} may be used as it is now`);
  return 0;
};

/** Off a terminal the command itself is the answer. */
async function agreed(context: Context, args: Args): Promise<boolean> {
  if (args.flag('yes') || !context.interactive) return true;
  const prompter = context.prompter();
  const outcome = await prompter.confirm('Allow it? yes or no');
  if (outcome.kind === 'interrupted') throw new Interrupted('SIGINT');
  return outcome.kind === 'answered';
}
