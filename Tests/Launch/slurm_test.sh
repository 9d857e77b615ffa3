#!/usr/bin/env bash
# launch/slurm.sbatch, with programs in place of Slurm's: how it starts the ranks, and what the early signal does.
source "$(dirname "$0")/support.sh"
script=$PWD/launch/slurm.sbatch

expect 2 'for sbatch, not for the shell' env -u SLURM_JOB_ID "$BASH" "$script" c.yaml
mkdir -p "$work/submit/bin" "$work/slurm"
export SLURM_JOB_ID=42 SLURM_SUBMIT_DIR=$work/submit SLURM_CPUS_ON_NODE=16 SLURM_NTASKS_PER_NODE=2
expect 2 'no configuration' "$BASH" "$script"
expect 2 'no hadal in ' "$BASH" "$script" c.yaml

cat >"$work/submit/bin/hadal" <<'EOF'
#!/usr/bin/env bash
trap 'echo saved; exit 0' USR1
echo "arguments: $*"
[ "$2" != short.yaml ] || exit "${CODE:-0}"
echo up >>"$UP"
for _ in $(seq 300); do sleep 0.1; done
exit 9
EOF
cat >"$work/slurm/srun" <<'EOF'
#!/usr/bin/env bash
if [ "$1" = --mpi=list ]; then echo "specific pmix plugin versions available: pmix_v4" && exit 0; fi
echo "srun options:"
while [[ $1 == --* ]]; do echo "  $1" && shift; done
exec "$@"
EOF
printf '#!/bin/sh\necho "scontrol $*"\n' >"$work/slurm/scontrol"
chmod +x "$work/submit/bin/hadal" "$work/slurm"/*
export PATH=$work/slurm:$PATH

expect 0 '^arguments: train short.yaml --set a=1$' "$BASH" "$script" short.yaml --set a=1
expect 0 '^  --cpus-per-task=8$' "$BASH" "$script" short.yaml
expect 5 'arguments' env CODE=5 "$BASH" "$script" short.yaml
expect 2 'must be srun or mpirun' env HADAL_LAUNCHER=ssh "$BASH" "$script" short.yaml
# A run that ends by itself is not put back.
"$BASH" "$script" short.yaml >"$work/log" 2>&1
expect 1 '^0$' grep -c scontrol "$work/log"

"$BASH" "$script" long.yaml >"$work/job" 2>&1 &
job=$!
until_line up "$UP"
kill -USR1 $job
code=0
wait $job || code=$?
expect 0 '^saved$' cat "$work/job"
expect 0 '^scontrol requeue 42$' cat "$work/job"
expect 0 '^0$' echo $code
