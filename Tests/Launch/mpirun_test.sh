#!/usr/bin/env bash
# launch/mpirun.sh: what it makes of its options, its errors, signals and exit codes.
source "$(dirname "$0")/support.sh"
dry=(launch/mpirun.sh --program true --dry-run)

# One rank a NUMA domain; otherwise consecutive cores; shared cores only when asked.
export HADAL_NODE_SHAPE="16 2"
expect 0 '^mpirun -n 2 .*--map-by ppr:1:numa --bind-to numa ' "${dry[@]}"
expect 0 '^mpirun -n 4 --host a:2..?b:2 --map-by ppr:1:numa' "${dry[@]}" --hosts a,b
expect 0 '^mpirun -n 4 .*--map-by slot:PE=4 --bind-to core ' "${dry[@]}" -n 4
expect 0 '^mpirun -n 1 .*--map-by slot:PE=16 ' "${dry[@]}" -n 1
expect 0 'reach over the border of a NUMA domain' "${dry[@]}" -n 3
expect 0 '1 of 16 cores stay idle' "${dry[@]}" -n 3
expect 2 '17 ranks on a node that has 16 core' "${dry[@]}" -n 17
expect 0 '--bind-to core:overload-allowed ' "${dry[@]}" -n 17 --oversubscribe
expect 0 '^mpirun -n 3 .*--bind-to none' "${dry[@]}" -n 3 --bind none

# Unbound ranks of hadal get a number of threads, unless one is given.
printf '#!/bin/sh\n' >"$work/hadal"
chmod +x "$work/hadal"
unbound=(launch/mpirun.sh --program "$work/hadal" --dry-run --bind none)
expect 0 'train c.yaml --set training.threads=8$' "${unbound[@]}" -n 2 train c.yaml
expect 0 'train c.yaml --set training.threads=3$' "${unbound[@]}" -n 2 train c.yaml --set training.threads=3

# Nodes.
printf 'a slots=2  # the first\n\nb slots=4\n' >"$work/hosts"
expect 0 '^mpirun -n 6 --host a:2..?b:4 ' "${dry[@]}" --hostfile "$work/hosts"
expect 0 '^mpirun -n 2 --host a:1..?b:1 --map-by slot:PE=16' "${dry[@]}" --hostfile "$work/hosts" --ranks-per-node 1
expect 2 '7 ranks do not fit: 2 node.s. have 6 slot' "${dry[@]}" --hostfile "$work/hosts" -n 7
printf 'a slots=2\nb slots=0\n' >"$work/zero"
expect 2 'zero:2: slots must be a number from 1 on: b slots=0' "${dry[@]}" --hostfile "$work/zero"
: >"$work/empty"
expect 2 'names no node' "${dry[@]}" --hostfile "$work/empty"
expect 2 'cannot read the host file /nowhere/hosts' "${dry[@]}" --hostfile /nowhere/hosts
expect 2 '--hosts must be' "${dry[@]}" --hosts a:0
expect 2 'give one' "${dry[@]}" --hosts a --hostfile "$work/hosts"
expect 0 '^mpirun -n 6 --map-by ppr:1:numa' env SLURM_JOB_NUM_NODES=3 SLURM_NTASKS=6 "${dry[@]}"

# Parameters and variables.
expect 0 '--mca oob_tcp_if_include ib0 --mca btl_tcp_if_include ib0 ' "${dry[@]}" --network ib0
expect 0 '-x HADAL_ISA .*-x HOME .*--mca pml ob1 ' env HADAL_ISA=avx2 "${dry[@]}" --env HOME --mca pml ob1
expect 2 'there is no such variable' "${dry[@]}" --env NO_SUCH_VARIABLE

# Errors.
expect 2 'there is no option --frobnicate' "${dry[@]}" --frobnicate
expect 2 '-n must be a number from 1 on, not .0' "${dry[@]}" -n 0
expect 2 '--mca needs a name and a value' "${dry[@]}" --mca pml
expect 2 'no program that can be run' launch/mpirun.sh --program ./README.md
expect 2 'what is to run' launch/mpirun.sh
expect 2 'a node.s shape must be two numbers' env HADAL_NODE_SHAPE=16 "${dry[@]}"
mkdir "$work/bin"
for tool in bash env dirname head id true; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
expect 2 'no mpirun on PATH: apt-get install openmpi-bin' env PATH="$work/bin" "${dry[@]}"
printf '#!/bin/sh\necho HYDRA build details\n' >"$work/bin/mpirun"
chmod +x "$work/bin/mpirun"
expect 2 'mpirun is not Open MPI' env PATH="$work/bin" "${dry[@]}"
if [ "$(id -u)" -eq 0 ]; then
  expect 2 'this is root' env -u OMPI_ALLOW_RUN_AS_ROOT launch/mpirun.sh --program true
fi

# Jobs: what comes back, and what a signal does.
unset HADAL_NODE_SHAPE
run=(launch/mpirun.sh "${as_root[@]}" -n 2 --oversubscribe)
expect 0 '^HADAL_FOO=a b$' env HADAL_FOO='a b' "${run[@]}" --program env
expect 7 'ended with code 7' "${run[@]}" --program sh -- -c 'exit 7'
# A job that fails is started again as often as was said, not after code 2, and not where it would begin anew.
expect 7 'started again, 2 of at most 2' "${run[@]}" --max-restarts 2 --program sh -- -c 'exit 7'
rank0="[ \$OMPI_COMM_WORLD_RANK = 0 ] || exit 0; echo run >>$work/runs"
expect 0 'started again, 1 of at most 5' "${run[@]}" --max-restarts 5 --program sh -- -c "$rank0; [ \$(wc -l <$work/runs) = 2 ]"
expect 0 '^2$' grep -c run "$work/runs"
expect 2 'ended with code 2' "${run[@]}" --max-restarts 2 --program sh -- -c "echo run >>$work/wrong; exit 2"
expect 0 '^2$' grep -c run "$work/wrong"
expect 2 'leave one of them out' "${dry[@]}" --max-restarts 1 train x.yaml --resume never
# Hosts that do not answer are left out of the next start; hadal says how many ranks may be left.
me=$(hostname)
cat >"$work/shell" <<'EOF'
#!/bin/sh
[ "$1" != slow ] || sleep 30
exit 1
EOF
mkdir "$work/fake"
cat >"$work/fake/hadal" <<'EOF'
#!/bin/sh
if [ "$*" = 'plan c.yaml --set a=b --ranks 1 --ranks-per-node 1 --largest' ]; then
  [ "$FITS" = yes ] && echo 1 || { echo 'refused, by hadal' >&2; exit 2; }
fi
EOF
chmod +x "$work/shell" "$work/fake/hadal"
lost=(launch/mpirun.sh "${as_root[@]}" --oversubscribe --max-restarts 1 --answer-within 1
  --mca plm_rsh_agent "$work/shell" --hosts "$me:1,gone:1,slow:1")
prints=(--program sh -- -c "echo \$OMPI_COMM_WORLD_SIZE ranks")
expect 0 'left out, as the remote shell gives no answer within 1 s: gone, slow$' "${lost[@]}" "${prints[@]}"
expect 0 "goes on with 1 ranks instead of 3, on $me\$" "${lost[@]}" "${prints[@]}"
expect 0 '^1 ranks$' "${lost[@]}" "${prints[@]}"
wanted=(--program "$work/fake/hadal" train c.yaml --set a=b --resume auto)
expect 0 'goes on with 1 ranks instead of 3' env FITS=yes "${lost[@]}" "${wanted[@]}"
expect 0 'goes on with 1 ranks instead of 3' env FITS=yes "${lost[@]}" --program "$work/fake/hadal" \
  verify --steps 3 c.yaml --limit 1 --set a=b
# Where a batch system starts the daemons, hosts are not asked by a remote shell, unless mpirun is told to use one.
# shellcheck disable=SC2016  # the inner shell expands them
asks='source launch/hosts.sh; mca=($MCA); if uses_remote_shell; then echo asks; else echo trusts; fi'
expect 0 '^asks$' env -u SLURM_JOB_ID -u PBS_JOBID -u LSB_JOBID MCA= bash -c "$asks"
expect 0 '^trusts$' env SLURM_JOB_ID=1 MCA= bash -c "$asks"
expect 0 '^asks$' env SLURM_JOB_ID=1 MCA='--mca plm rsh' bash -c "$asks"
expect 0 '^asks$' env SLURM_JOB_ID=1 MCA='--mca plm ^slurm' bash -c "$asks"
mkdir "$work/built"
printf '#!/bin/sh\nprintenv BUILT\n' >"$work/built/ompi_info"
chmod +x "$work/built/ompi_info"
inside=(env -u SLURM_JOB_ID PBS_JOBID=1 MCA= PATH="$work/built:$PATH")
expect 0 '^asks$' "${inside[@]}" BUILT=mca:plm:rsh:version bash -c "$asks"
expect 0 '^trusts$' "${inside[@]}" BUILT=mca:plm:tm:version bash -c "$asks"
expect 2 '--answer-within is for hosts before another start' "${dry[@]}" --answer-within 3
expect 1 'refused, by hadal' env FITS=no "${lost[@]}" "${wanted[@]}"
expect 1 'no number of ranks up to the 1 that are left' env FITS=no "${lost[@]}" "${wanted[@]}"
expect 1 'no host answers within 1 s .gone.: start the job again' launch/mpirun.sh "${as_root[@]}" --max-restarts 1 \
  --answer-within 1 --mca plm_rsh_agent "$work/shell" --hosts gone:1 --program true
# An mpirun that waits for a node that has vanished is ended once no rank of hadal is left here, remote shells or not.
mkdir "$work/stuck"
cat >"$work/stuck/mpirun" <<'EOF'
#!/usr/bin/env bash
[ "$1" != --version ] || { echo 'mpirun (Open MPI) 4.1.4' && exit; }
"$RANK" &
sleep 300 &
echo $! >"$SHELL_ID"
wait
EOF
printf '#!/bin/sh\nsleep 2\nexit 1\n' >"$work/stuck/hadal"
chmod +x "$work/stuck/mpirun" "$work/stuck/hadal"
expect 137 'mpirun still waits for a node that has vanished: ended' env PATH="$work/stuck:$PATH" RANK="$work/stuck/hadal" \
  SHELL_ID="$work/shell_id" launch/mpirun.sh "${as_root[@]}" --hosts "$me,gone" --program "$work/stuck/hadal" train c.yaml
kill "$(cat "$work/shell_id")"
# Ranks of other programs that share cores give way to each other; hadal's do so by themselves.
expect 0 '--mca mpi_yield_when_idle 1 ' "${dry[@]}" -n 33 --oversubscribe
for words in 'train c.yaml' 'bench exchange'; do
  expect 0 '^mpirun -n 33 ' sh -c \
    "launch/mpirun.sh --program '$work/hadal' --dry-run -n 33 --oversubscribe $words | grep -v yield"
done
expect 0 'oob_tcp_keepalive_time 20 .*oob_tcp_keepalive_probes 4' "${dry[@]}"
expect 0 'oob_tcp_keepalive_probes 4 --mca oob_tcp_keepalive_time 3' "${dry[@]}" --mca oob_tcp_keepalive_time 3
"${run[@]}" --program "$work/waits" >"$work/job" 2>&1 &
job=$!
until_line 'rank 0' "$UP"
until_line 'rank 1' "$UP"
kill -TERM $job
code=0
wait $job || code=$?
mv "$work/job" "$work/stopped"
expect 0 '^2$' grep -c '^saved on' "$work/stopped"
expect 0 '^0$' echo $code
# Ranks that do not listen: the second signal ends them.
deaf="trap '' USR1; echo rank \$OMPI_COMM_WORLD_RANK deaf; sleep 25; echo finished"
"${run[@]}" --program sh -- -c "$deaf" >"$work/job" 2>&1 &
job=$!
until_line 'rank 0 deaf' "$work/job"
until_line 'rank 1 deaf' "$work/job"
kill -TERM $job
until_line 'told to save' "$work/job"
kill -TERM $job
code=0
wait $job || code=$?
expect 1 '^0$' grep -c finished "$work/job"
expect 0 '^ended$' sh -c "[ $code -eq 0 ] || echo ended"
