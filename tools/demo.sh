#!/usr/bin/env bash
# Train SpaRTAN-XT on the handwritten digits inside scikit-learn, evaluate the checkpoint and draw; what `make demo` runs.
# Interrupted, it goes on from the last epoch when it is called again.
set -euo pipefail
cd "$(dirname "$0")/.."

config=configs/spartan_xt_digits.py
out=work_dirs/spartan_xt_digits
analyze_logs=$(python -c 'import mmpretrain; print(mmpretrain.__path__[0])')/.mim/tools/analysis_tools/analyze_logs.py

if [ -f "$out/epoch_12.pth" ]; then echo "$out holds a finished training: going on from it; remove the folder to train anew."; fi
echo "[1/3] Training on 1438 handwritten digits, 12 epochs: about 4 minutes on 2 cores."
python tools/train.py "$config" --work-dir "$out" --resume

echo "[2/3] Evaluating the checkpoint on 359 digits that were not trained on."
checkpoint=$(cat "$out/last_checkpoint")
python tools/test.py "$config" "$checkpoint" --work-dir "$out" --out "$out/metrics.json" --out-item metrics \
    --show-dir "$out/predictions" --cfg-options default_hooks.visualization.interval=20

echo "[3/3] Drawing the curves."
cat "$out"/*/vis_data/scalars.json >"$out/scalars.json" # of all runs, should training have been interrupted
for key in loss accuracy/top1; do
    python "$analyze_logs" plot_curve "$out/scalars.json" --keys "$key" --legend "$key" --out "$out/curve_${key%%/*}.png"
done

echo
echo "Top-1 accuracy on the held-out digits, from tools/test.py: $(cat "$out/metrics.json")"
echo "Checkpoint:  $checkpoint"
echo "Curves:      $out/curve_loss.png $out/curve_accuracy.png"
echo "Predictions: $out/predictions/"
