// `tunnel metrics` from outside: the same text as the metrics address gives, and what there is without a supervisor.
import { expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { createWorld } from '../helpers/world.ts';

const hopeless =
  'tunnels: { a: { host: "me@127.0.0.1:1", local: auto, remote: 9 }, b: { host: h, local: auto, remote: 9, autostart: false } }\n';
const unlike = (text: string): string => text.replace(/^tunnel_build_info\{.*\n/m, '');

test('metrics are those of the address, and without a supervisor those of tunnels that are down', async () => {
  await using world = createWorld();
  const port = await freePort();
  world.config(`metrics: ${port}\n${hopeless}`);
  const without = await world.run(['metrics']);
  expect(without).toMatchObject({ code: 0, stderr: '' });
  expect(without.stdout).toContain('tunnel_state{tunnel="a",state="down"} 1\n');
  expect(without.stdout).not.toContain('tunnel_build_info{');
  await world.run(['up', '--timeout', '10ms']);
  await world.until('a', ({ state }) => state === 'retrying');
  const { supervisor } = await world.status();
  const ran = await world.run(['metrics']);
  const scraped = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  expect(ran).toMatchObject({ code: 0, stderr: '' });
  expect(ran.stdout).toContain(`tunnel_build_info{version="${supervisor.version ?? ''}"} 1\n`);
  expect(ran.stdout).toContain('tunnel_up{tunnel="a"} 0\n');
  const names = (text: string): readonly string[] => text.match(/^tunnel_\w+\{[^}]*\}/gm) ?? [];
  expect(names(scraped)).toEqual(names(ran.stdout));
  expect(names(unlike(without.stdout))).toEqual(names(unlike(ran.stdout)));
  const families = JSON.parse((await world.run(['metrics', '--json'])).stdout) as { name: string }[];
  expect(families.map(({ name }) => name)).toEqual(
    [...ran.stdout.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name),
  );
  expect(await world.run(['metrics', 'a'])).toMatchObject({ code: 2, stdout: '' });
});
