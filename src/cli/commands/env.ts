// `tunnel env`: where tunnels are reached, and their own variables, as lines that a shell evaluates.
import { localEnds } from '../../config/local-ends.ts';
import { readyConfig } from '../../client/ready-config.ts';
import { ask, locateTarget } from '../../client/supervisor.ts';
import { matchSelectors } from '../../config/selectors.ts';
import { TunnelError } from '../../errors.ts';
import { posixWord } from '../../model/shell-word.ts';
import { tunnelVariables, type Reached } from '../../model/tunnel-variables.ts';
import { anyWords, selectorWords, type CommandSpec, type Run } from '../command.ts';

export const spec: CommandSpec = {
  name: 'env',
  words: selectorWords,
  takes: anyWords,
  about: 'print where tunnels are reached, as variables for a shell',
  more: [
    'NAME_HOST and NAME_PORT of each tunnel (NAME_SOCKET of a Unix socket, NAME_FORWARD_PORT where it has',
    'several forwards), then its env: of the file. Brings nothing up. A port that is auto is known while the',
    'tunnel is up; else the other tunnels are printed and the exit code is 9.',
  ],
  options: [],
  examples: [
    ['eval "$(tunnel env db)"', 'sets DB_HOST and DB_PORT in this shell'],
    ['tunnel env db --json | jq -r .DB_PORT', 'for scripts'],
  ],
};

export const run: Run = async (context, args) => {
  const { resolved } = await readyConfig(context);
  const names = new Set(matchSelectors(args.words, resolved.tunnels));
  const status = await ask(locateTarget(context), 'status', { selectors: [] });
  const reached: Reached[] = [];
  const unknown: string[] = [];
  for (const tunnel of resolved.tunnels.filter(({ name }) => names.has(name))) {
    const ends = localEnds(
      tunnel,
      status?.tunnels.find(({ name }) => name === tunnel.name),
    );
    if (ends === null) unknown.push(tunnel.name);
    else reached.push({ tunnel, ends });
  }
  const variables = tunnelVariables(reached);
  if (context.options.json) context.json(Object.fromEntries(variables));
  else for (const [name, value] of variables) context.out(`export ${name}=${posixWord(value)}`);
  if (unknown.length > 0) throw notKnown(unknown);
  if (variables.size === 0) context.talk('nothing to set: no program here connects to these tunnels');
  return 0;
};

function notKnown(names: readonly string[]): TunnelError {
  const [first = ''] = names;
  const sentence =
    names.length === 1
      ? `the port of ${first} is auto, and known only while it is up`
      : `the ports of ${names.join(', ')} are auto, and known only while they are up`;
  return new TunnelError('NOT_UP', sentence, {
    hint: { command: 'up', on: { words: names } },
  });
}
