// A run with another congestion control than the machine's: in a network of its own, so that nothing else is touched.
// It decides the figures of loopback, too: bbr paces there with a timer for every packet, which costs both ends twice the work of cubic.
import { spawnSync } from 'node:child_process';

const insideOf = 'TUNNEL_BENCH_CONGESTION';

const settle = 'ip link set lo up && echo "$0" > /proc/sys/net/ipv4/tcp_congestion_control && exec "$@"';

/** Makes this run once more, in such a network; returns its exit code. Null: this is that run. Needs root, `unshare` and `ip`. */
export function runWithCongestion(name: string): number | null {
  if (process.env[insideOf] === name) return null;
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  const { status, error } = spawnSync('unshare', ['--net', 'sh', '-c', settle, name, ...again], {
    stdio: 'inherit',
    env: { ...process.env, [insideOf]: name },
  });
  if (error !== undefined) console.error(`--congestion needs unshare, of util-linux: ${error.message}`);
  else if (status !== 0)
    console.error('--congestion needs root, ip, and a congestion control that is loaded.');
  return status ?? 1;
}
